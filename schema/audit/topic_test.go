package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	contract "ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	kafkatest "ansim/test/kafka"
)

// broker is a broker with the topic.
type broker struct {
	t    *testing.T
	addr string
}

func newBroker(t *testing.T, addr string, partitions int) broker {
	t.Helper()
	b := broker{t, addr}
	client := b.client()
	res, err := client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: topicName, NumPartitions: partitions, ReplicationFactor: 1,
		// The records are of a day long ago.
		ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "-1"}}}}})
	if err == nil {
		err = res.Errors[topicName]
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// patience is how long a request waits for a broker that stands still.
const patience = 30 * time.Second

func (b broker) client() *kafkago.Client {
	transport := &kafkago.Transport{DialTimeout: patience}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(b.addr), Timeout: patience, Transport: transport}
}

// record is the one that the relay makes of the event n of base.
func (b broker) record(n int) kafkago.Message {
	b.t.Helper()
	e := contract.Event{ID: id(2, n), Type: contract.Booked, ReservationID: reservation(n), Version: 1,
		Recipients: []contract.Recipient{contract.Resident}, Time: ago(time.Hour).Time}
	headers, value, err := contract.Encode(e)
	if err != nil {
		b.t.Fatal(err)
	}
	m := kafkago.Message{Key: []byte(e.ReservationID), Value: value, Time: noon.Add(-50 * time.Minute)}
	for _, h := range headers {
		m.Headers = append(m.Headers, kafkago.Header{Key: h.Key, Value: h.Value})
	}
	return m
}

// write puts records into the topic, compressed, each batch a record, in order.
func (b broker) write(ms ...kafkago.Message) {
	b.t.Helper()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafkago.Writer{Addr: kafkago.TCP(b.addr), Topic: topicName, RequiredAcks: kafkago.RequireAll, BatchTimeout: time.Millisecond,
		Balancer: &kafkago.Murmur2Balancer{}, Compression: kafkago.Snappy, Transport: transport, MaxAttempts: 50}
	defer w.Close()
	if err := w.WriteMessages(b.t.Context(), ms...); err != nil {
		b.t.Fatal(err)
	}
}

// trim deletes the records of partition 0 below an offset, as retention does.
func (b broker) trim(offset int64) {
	b.t.Helper()
	req, res := kmsg.NewPtrDeleteRecordsRequest(), kmsg.NewPtrDeleteRecordsResponse()
	req.SetVersion(1)
	res.SetVersion(1)
	part, topic := kmsg.NewDeleteRecordsRequestTopicPartition(), kmsg.NewDeleteRecordsRequestTopic()
	part.Offset = offset
	topic.Topic, topic.Partitions = topicName, append(topic.Partitions, part)
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 10_000
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(b.t.Context(), "tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		b.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		b.t.Fatal(err)
	}
	in := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, in); err != nil {
		b.t.Fatal(err)
	}
	if err := res.ReadFrom(in[4:]); err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		b.t.Fatalf("delete records: %v, %+v", err, res)
	}
}

// TestTopic breaks I14 in the database, beside a topic that is as it should be.
func TestTopic(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		b := newBroker(t, addr, 3)
		b.write(b.record(1), b.record(2), b.record(3))
		for name, c := range map[string]struct {
			breaks  func(w world)
			finding string // "" when nothing is wrong
			example string
			open    int64
			checked int64
		}{
			"what it should": {checked: 3},
			"an event that is not there": {breaks: func(w world) { w.event(50, 2, "booked", 1, 1, ago(2*time.Minute)) },
				finding: "event that the topic does not hold", example: event(50), checked: 4},
			"an event that is not there yet": {breaks: func(w world) { w.event(50, 2, "booked", 1, 1, ago(30*time.Second)) },
				open: 1, checked: 4},
			"an event that never was": {breaks: func(w world) {
				w.exec(`DELETE FROM outbox WHERE event_id = ?`, event(2))
				w.exec(`UPDATE outbox SET created_at = ? WHERE event_id = ?`, ago(2*time.Hour), event(1))
			}, finding: "event in the topic that the outbox never had", example: event(2), checked: 3},
			"an old event that never was": {breaks: func(w world) {
				w.exec(`DELETE FROM outbox`)
				w.forget(2)
			}, finding: "event in the topic that the outbox never had", example: event(2), checked: 3},
			"rows gone from the outbox": {breaks: func(w world) { w.exec(`DELETE FROM outbox WHERE event_id = ?`, event(2)) },
				finding: "event in the topic that the outbox never had", example: event(2), checked: 3},
			"another version": {breaks: func(w world) { w.exec(`UPDATE outbox SET version = 2 WHERE event_id = ?`, event(2)) },
				finding: "event that says something else in the topic", example: event(2), checked: 3},
			"another resend": {breaks: func(w world) { w.exec(`UPDATE outbox SET resend = 1 WHERE event_id = ?`, event(2)) },
				finding: "event that says something else in the topic", example: event(2), checked: 3},
			"other recipients": {breaks: func(w world) { w.exec(`UPDATE outbox SET recipients = 'booker' WHERE event_id = ?`, event(2)) },
				finding: "event that says something else in the topic", example: event(2), checked: 3},
			"another type": {breaks: func(w world) { w.exec(`UPDATE outbox SET type = 'x' WHERE event_id = ?`, event(2)) },
				finding: "event that says something else in the topic", example: event(2), checked: 3},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				each(t, 3, func(t *testing.T, w world) {
					if c.breaks != nil {
						c.breaks(w)
					}
					i := topicVerdictOf(t, w.db, addr)
					if (c.finding == "") != (i.Violations == 0) || i.Open != c.open || i.Checked != c.checked || len(i.Notes) > 0 {
						t.Errorf("%+v", i)
					}
					if c.finding != "" && !found(Report{Invariants: []Invariant{i}}, "I14", c.finding, c.example) {
						t.Errorf("%q of %s is not in %+v", c.finding, c.example, i)
					}
				})
			})
		}
	})
}

// TestTopicRecords breaks I14 in the topic, where one thing after the other goes wrong.
func TestTopicRecords(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		b := newBroker(t, addr, 3)
		b.write(b.record(1), b.record(2), b.record(3))
		db := dbtest.SQLite(t, sqldb.Options{})
		base(t, db, 3)
		foreign := b.record(2)
		foreign.Key = []byte("x")
		for n, c := range []struct {
			add     []kafkago.Message
			finding string
			example string
			notes   string
		}{
			{add: nil},
			{add: []kafkago.Message{b.record(2), b.record(2)}, notes: "2 records repeat another"},
			{add: []kafkago.Message{foreign}, finding: "event that is filed under another key than its reservation", example: event(2),
				notes: "3 records repeat another"},
			{add: []kafkago.Message{{Key: []byte("x"), Value: []byte("+821000000001")}}, finding: "record that is no event", notes: "3 records"},
		} {
			if c.add != nil {
				b.write(c.add...)
			}
			i := topicVerdictOf(t, db, addr)
			if i.Violations != int64(max(0, n-1)) || i.Checked != 3 || !strings.Contains(fmt.Sprint(i.Notes), c.notes) {
				t.Errorf("%d: %+v", n, i)
			}
			if c.finding != "" && !found(Report{Invariants: []Invariant{i}}, "I14", c.finding, c.example) {
				t.Errorf("%d: %q is not in %+v", n, c.finding, i)
			}
		}
	})
}

func topicVerdictOf(t *testing.T, db *sqldb.DB, addr string) Invariant {
	t.Helper()
	for _, i := range audit(t, db, Options{Brokers: []string{addr}}).Invariants {
		if i.ID == "I14" {
			return i
		}
	}
	t.Fatal("I14 was not asked")
	return Invariant{}
}

// TestTopicAfterRetention: what retention removed is not missed, is said, and hides nothing that is younger.
func TestTopicAfterRetention(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		b := newBroker(t, addr, 1)
		for i := range 3 {
			b.write(b.record(i + 1))
		}
		b.trim(2)
		dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
			w := base(t, db, 3)
			i := topicVerdictOf(t, db, addr)
			if i.Violations > 0 || i.Open > 0 || i.Checked != 3 || !strings.Contains(fmt.Sprint(i.Notes), "retention has removed 2 records") ||
				!strings.Contains(fmt.Sprint(i.Notes), "2 events are older") {
				t.Errorf("%+v", i)
			}
			w.event(50, 2, "booked", 1, 1, ago(45*time.Minute)) // the oldest record is 50 minutes old
			if i := topicVerdictOf(t, db, addr); i.Violations != 1 || i.Examples[0].ID != event(50) {
				t.Errorf("%+v", i)
			}
			// The other way round: what the topic still has, and the outbox has not for its age.
			w.exec(`DELETE FROM outbox`)
			w.keep(noon)
			if i := topicVerdictOf(t, db, addr); i.Violations > 0 || i.Checked != 1 || !strings.Contains(fmt.Sprint(i.Notes), "1 events are older") {
				t.Errorf("%+v", i)
			}
		})
	})
}

func TestTopicThatCannotBeRead(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, sqldb.Options{})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for name, addr := range map[string]string{"nobody there": nobody, "no topic": kafkatest.Embedded(t)} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := Run(ctx, db, Options{Brokers: []string{addr}})
		cancel()
		if !errors.Is(err, ErrTopic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
