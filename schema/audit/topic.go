package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	kafkago "github.com/segmentio/kafka-go"

	"ansim/schema/sqldb"
)

// ErrTopic is wrapped when the topic could not be read to the end that it had at the start.
var ErrTopic = errors.New("the topic could not be read")

// topicName is the topic of the reservations' events. It is said again here: the judge shares nothing with the judged.
const topicName = "ansim.reservation.events"

const (
	// topicTime bounds the reading of the whole topic, and brokerTime each question.
	topicTime  = 10 * time.Minute
	brokerTime = 15 * time.Second
	fetchBytes = 4 << 20
	// emptyFetches is how often in a row a partition may answer with nothing though there should be something.
	emptyFetches = 20
)

// topic is what stood in the topic.
type topic struct {
	events *sorter
	notes  []string
	// cut: what was committed earlier may have been in the topic and is not any more. Zero when the topic is whole.
	cut     time.Time
	strange []string // records that are no events, by place; maxExamples of them
	others  int64    // how many of those
}

// partition is a partition with its offsets at the start.
type partition struct{ number, first, end int64 }

// readTopic reads the topic from its first offset to the end that it has now. Records may be there twice.
func readTopic(ctx context.Context, brokers []string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*topic, error) {
	ctx, cancel := context.WithTimeout(ctx, topicTime)
	defer cancel()
	t := &topic{events: newSorter()}
	transport := &kafkago.Transport{Dial: dial, DialTimeout: brokerTime, ClientID: "ansim-check"}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Timeout: brokerTime, Transport: transport}
	parts, err := partitions(ctx, client)
	if err != nil {
		return t, err
	}
	removed := int64(0)
	for _, p := range parts {
		removed += p.first
		at, err := t.read(ctx, client, p)
		if err != nil {
			return t, fmt.Errorf("%w: partition %d: %w", ErrTopic, p.number, err)
		}
		if p.first > 0 && at.After(t.cut) {
			t.cut = at
		}
	}
	if removed > 0 {
		t.notes = append(t.notes, fmt.Sprintf("retention has removed %d records from the beginning of the topic: events from before %s are not compared",
			removed, t.cut.UTC().Format(time.RFC3339)))
	}
	return t, nil
}

// partitions asks for the topic's partitions and their offsets.
func partitions(ctx context.Context, client *kafkago.Client) ([]partition, error) {
	meta, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topicName}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if len(meta.Topics) != 1 || meta.Topics[0].Error != nil || len(meta.Topics[0].Partitions) == 0 {
		return nil, fmt.Errorf("%w: the brokers have no topic %s", ErrTopic, topicName)
	}
	var ask []kafkago.OffsetRequest
	for _, p := range meta.Topics[0].Partitions {
		ask = append(ask, kafkago.FirstOffsetOf(p.ID), kafkago.LastOffsetOf(p.ID))
	}
	offsets, err := client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{topicName: ask}})
	if err != nil {
		return nil, fmt.Errorf("%w: ask for its offsets: %w", ErrTopic, err)
	}
	var parts []partition
	for _, p := range offsets.Topics[topicName] {
		if p.Error != nil {
			return nil, fmt.Errorf("%w: ask for the offsets of partition %d: %w", ErrTopic, p.Partition, p.Error)
		}
		parts = append(parts, partition{int64(p.Partition), p.FirstOffset, p.LastOffset})
	}
	return parts, nil
}

// read reads one partition. It returns the time of its first record, now when there is none.
func (t *topic) read(ctx context.Context, client *kafkago.Client, p partition) (first time.Time, err error) {
	first = time.Now()
	empty := 0
	for offset := p.first; offset < p.end; {
		res, err := client.Fetch(ctx, &kafkago.FetchRequest{Topic: topicName, Partition: int(p.number), Offset: offset,
			MinBytes: 1, MaxBytes: fetchBytes, MaxWait: time.Second})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return first, err
		}
		from := offset
		for {
			rec, err := res.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return first, err
			}
			// An answer begins with a whole batch, which may begin earlier.
			if rec.Offset < offset || rec.Offset >= p.end {
				continue
			}
			if rec.Offset == p.first {
				first = rec.Time
			}
			offset = rec.Offset + 1
			if err := t.add(p.number, rec); err != nil {
				return first, err
			}
		}
		if empty++; offset > from {
			empty = 0
		}
		if empty == emptyFetches {
			return first, fmt.Errorf("there is nothing at offset %d of %d", offset, p.end)
		}
	}
	return first, nil
}

// add keeps what a record says, as hashes.
func (t *topic) add(part int64, rec *kafkago.Record) error {
	value, err := kafkago.ReadAll(rec.Value)
	if err != nil {
		return err
	}
	recordKey, err := kafkago.ReadAll(rec.Key)
	if err != nil {
		return err
	}
	header := map[string]string{}
	for _, h := range rec.Headers {
		header[h.Key] = string(h.Value)
	}
	var body struct {
		Reservation string   `json:"reservation_id"`
		Version     int      `json:"version"`
		Recipients  []string `json:"recipients"`
		Resend      int      `json:"resend"`
	}
	id, idErr := uuid.Parse(header["ce_id"])
	at, atErr := time.Parse(time.RFC3339Nano, header["ce_time"])
	if idErr != nil || atErr != nil || json.Unmarshal(value, &body) != nil {
		if t.others++; len(t.strange) < maxExamples {
			t.strange = append(t.strange, fmt.Sprintf("partition %d offset %d", part, rec.Offset))
		}
		return nil
	}
	r := record{Key: key(id), Side: theirs, At: at.UnixMicro(),
		Body: said(header["ce_type"], body.Reservation, body.Version, strings.Join(body.Recipients, ","), body.Resend)}
	if string(recordKey) != body.Reservation {
		r.Flags |= lost // filed under another key, so that its order is lost
	}
	binary.BigEndian.PutUint64(r.ID[:8], uint64(part))
	binary.BigEndian.PutUint64(r.ID[8:], uint64(rec.Offset))
	return t.events.add(r)
}

// said is what an event says, as a hash.
func said(kind, reservation string, version int, recipients string, resend int) key {
	return bodyKey(sha256.Sum256([]byte(strings.Join([]string{kind, reservation, strconv.Itoa(version), recipients, strconv.Itoa(resend)}, "\n"))))
}

// compareTopic holds the topic against the outbox.
func (r *run) compareTopic(ctx context.Context) (Invariant, error) {
	t := r.topic
	inv := Invariant{ID: "I14", Sentence: "the topic and the outbox hold the same events", Notes: append([]string(nil), t.notes...)}
	for _, place := range t.strange {
		inv.example("record that is no event", place)
	}
	inv.Violations += t.others
	merged := newSorter()
	defer merged.close()
	if err := t.events.each(merged.add); err != nil {
		return inv, err
	}
	if err := r.outbox(ctx, merged); err != nil {
		return inv, err
	}
	c := topicVerdict{run: r, inv: &inv}
	if err := merged.groups(c.event); err != nil {
		return inv, err
	}
	if n := c.copies; n > 0 {
		inv.Notes = append(inv.Notes, fmt.Sprintf("%d records repeat another, as they may", n))
	}
	if n := c.unjudged; n > 0 {
		inv.Notes = append(inv.Notes, fmt.Sprintf("%d events are older than what retention left and were not compared", n))
	}
	return inv, nil
}

// outbox adds the outbox's rows.
func (r *run) outbox(ctx context.Context, into *sorter) error {
	rows, err := r.tx.Query(ctx, `SELECT CAST(event_id AS text) AS event_id, type, CAST(reservation_id AS text) AS reservation_id, version,
		recipients, resend, created_at FROM outbox`, r.tx.Unplanned()...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, kind, reservation, recipients string
		var version, resend int
		var at sqldb.Time
		if err := rows.Scan(&id, &kind, &reservation, &version, &recipients, &resend, &at); err != nil {
			return err
		}
		parsed, err := uuid.Parse(id)
		if err != nil {
			return fmt.Errorf("an event's id is no UUID: %w", err)
		}
		if err := into.add(record{Key: key(parsed), Side: ours, At: at.UnixMicro(),
			Body: said(kind, reservation, version, recipients, resend)}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// topicVerdict judges one event after the other.
type topicVerdict struct {
	run              *run
	inv              *Invariant
	copies, unjudged int64
}

func (c *topicVerdict) event(g []record) error {
	c.inv.Checked++
	last := g[len(g)-1]
	published := len(g)
	if last.Side == ours {
		published--
	}
	c.copies += int64(max(0, published-1))
	if published == 0 {
		c.unpublished(last)
		return nil
	}
	if last.Side != ours {
		if last.At < c.run.eventsFrom.UnixMicro() { // deleted for its age, and its texts may be, too
			c.unjudged++
			return nil
		}
		c.inv.wrong("event in the topic that the outbox never had", showID(last.Key))
		return nil
	}
	for _, rec := range g[:published] {
		if rec.Body != last.Body {
			c.inv.wrong("event that says something else in the topic", showID(last.Key))
		}
		if rec.Flags != 0 {
			c.inv.wrong("event that is filed under another key than its reservation", showID(last.Key))
		}
	}
	return nil
}

// unpublished judges a row of the outbox that is not in the topic.
func (c *topicVerdict) unpublished(row record) {
	switch {
	case row.At >= c.run.began.Add(-c.run.opts.MessageWithin).UnixMicro():
		c.inv.Open++
	case row.At < c.run.topic.cut.UnixMicro() && !c.run.topic.cut.IsZero():
		c.unjudged++
	default:
		c.inv.wrong("event that the topic does not hold", showID(row.Key))
	}
}
