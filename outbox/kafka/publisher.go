package kafka

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"ansim/outbox"
	"ansim/schema/event"
)

const (
	// pieceEvents and pieceBytes bound what one produce request holds of one partition. Brokers take 1 MiB of each unless told
	// otherwise.
	pieceEvents = 500
	pieceBytes  = 512 << 10
	// attempts at one piece. More than a few would only hide from the relay, which tries again for as long as it takes, that
	// something is wrong.
	attempts     = 3
	attemptPause = 100 * time.Millisecond
)

// Publisher writes events to the topic. It implements [outbox.Publisher] and may be used by several goroutines, but the
// order of one reservation's events holds only within a call and between calls that follow each other.
//
// One request carries a piece of every partition that a broker leads, as the protocol has it and kafka-go's Writer and
// Client.Produce do not: each of those makes a request for each partition, and most of what a request costs, here and at the
// broker, does not go by what is in it. A Writer also waits for its BatchTimeout before each batch, allocates BatchSize
// messages for every batch of every partition however few there are, and when a call is larger than a batch it goes on with
// the second batch of a partition after the first has failed, so that a later event of a reservation is stored without the
// earlier. Here one partition's pieces are written one after the other, and the first that fails is the last that is tried.
type Publisher struct {
	cluster   Cluster
	transport *kafkago.Transport
	client    *kafkago.Client
	balancer  kafkago.Murmur2Balancer
}

var _ outbox.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher. It connects when it is first used, so brokers may be away.
func NewPublisher(c Cluster) (*Publisher, error) {
	if len(c.Brokers) == 0 {
		return nil, fmt.Errorf("new publisher: %w", ErrNoBrokers)
	}
	c.Brokers = slices.Clone(c.Brokers)
	t := c.newTransport()
	return &Publisher{cluster: c, transport: t, client: c.newClient(t)}, nil
}

// Close closes the connections. Publish must not be called any more.
func (p *Publisher) Close() error {
	p.transport.CloseIdleConnections()
	return nil
}

// Publish stores events on all in-sync replicas, those of one reservation in the order given. An error wraps
// [outbox.ErrNotPublished]: some may be stored and some not, also when ctx was cancelled, and all are to be published
// again. Doing so keeps the order: of one partition a piece that failed has nothing after it.
//
// A topic that is missing is made, so that a Kafka that was lost and replaced by an empty one needs nobody's hand.
func (p *Publisher) Publish(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	err := p.publish(ctx, events)
	if err != nil && missing(err) {
		if made := p.cluster.ensureTopic(ctx, p.client, TopicOptions{}); made != nil {
			err = errors.Join(err, made)
		}
	}
	if cancelled := ctx.Err(); err != nil && cancelled != nil && !errors.Is(err, cancelled) {
		err = errors.Join(cancelled, err) // kafka-go may tell what it knew before, or that the connection is gone
	}
	if err != nil {
		return fmt.Errorf("%w: %d events: %w", outbox.ErrNotPublished, len(events), err)
	}
	return nil
}

func (p *Publisher) publish(ctx context.Context, events []event.Event) error {
	partitions, err := topicPartitions(ctx, p.client)
	if err != nil {
		return err
	}
	lanes, err := p.lanes(events, len(partitions))
	if err != nil {
		return err
	}
	groups := map[int][]*lane{}
	for _, l := range lanes {
		leader := partitions[l.partition].Leader.ID
		if partitions[l.partition].Error != nil {
			leader = -1 - l.partition // it has none: alone, so that the others need not wait for it
		}
		groups[leader] = append(groups[leader], l)
	}
	var wg sync.WaitGroup
	for _, group := range groups {
		wg.Go(func() { p.publishGroup(ctx, group) })
	}
	wg.Wait()
	// All partitions usually fail for one reason; the first says it.
	for _, l := range lanes {
		if l.err != nil {
			return fmt.Errorf("partition %d: %w", l.partition, l.err)
		}
	}
	return nil
}

// lane is what one partition is to get, in order.
type lane struct {
	partition int
	records   []record // not yet stored
	tries     int      // at the first piece of records, that failed
	err       error    // of the last try; none when it stored something
}

// lanes encodes the events and sorts them by partition, of which there are n.
func (p *Publisher) lanes(events []event.Event, n int) ([]*lane, error) {
	ids := make([]int, n)
	lanes := make([]*lane, n)
	for i := range ids {
		ids[i], lanes[i] = i, &lane{partition: i}
	}
	for _, e := range events {
		headers, body, err := event.Encode(e)
		if err != nil {
			return nil, err
		}
		r := record{key: []byte(e.ReservationID), value: body, headers: make([]kafkago.Header, len(headers))}
		for i, h := range headers {
			r.headers[i] = kafkago.Header{Key: h.Key, Value: h.Value}
		}
		l := lanes[p.balancer.Balance(kafkago.Message{Key: r.key}, ids...)]
		l.records = append(l.records, r)
	}
	return slices.DeleteFunc(lanes, func(l *lane) bool { return len(l.records) == 0 }), nil
}

// publishGroup stores lanes of partitions that one broker leads, a piece of each with every request. A lane that fails for
// good goes no further; the others do.
func (p *Publisher) publishGroup(ctx context.Context, group []*lane) {
	for len(group) > 0 {
		p.publishPieces(ctx, group)
		var left []*lane
		tries := 0
		for _, l := range group {
			if l.err == nil && len(l.records) == 0 || l.err != nil && (l.tries == attempts || missing(l.err) || !temporary(l.err)) {
				continue
			}
			left = append(left, l)
			tries = max(tries, l.tries)
		}
		if group = left; tries > 0 && len(group) > 0 && !pause(ctx, attemptPause<<(tries-1)) {
			for _, l := range group {
				l.err = cmp.Or(l.err, ctx.Err())
			}
			return
		}
	}
}

// publishPieces makes one request of the next piece of each lane. A piece is one record batch, which a broker stores as a
// whole or not at all.
func (p *Publisher) publishPieces(ctx context.Context, group []*lane) {
	topic := produce.RequestTopic{Topic: event.Topic}
	for _, l := range group {
		topic.Partitions = append(topic.Partitions, produce.RequestPartition{Partition: int32(l.partition),
			RecordSet: protocol.RecordSet{Records: &recordReader{records: l.records[:pieceLen(l.records)]}}})
	}
	answers, err := p.produce(ctx, &produce.Request{Acks: int16(kafkago.RequireAll), Topics: []produce.RequestTopic{topic}})
	for _, l := range group {
		l.err = err
		if err == nil {
			l.err = answers[l.partition]
		}
		if l.err != nil {
			l.tries++
			continue
		}
		l.records, l.tries = l.records[pieceLen(l.records):], 0
	}
}

// errUnanswered is of a partition that the broker's answer does not name.
var errUnanswered = errors.New("the broker did not say whether it stored the events")

// produce sends a request to the broker that leads its partitions, and returns the answer for each of them.
func (p *Publisher) produce(ctx context.Context, req *produce.Request) (map[int]error, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req.Timeout = int32((requestTimeout / 2).Milliseconds()) // the broker is to give up first
	res, err := p.transport.RoundTrip(ctx, p.client.Addr, req)
	if err != nil {
		return nil, err
	}
	answers := map[int]error{}
	for _, partition := range req.Topics[0].Partitions {
		answers[int(partition.Partition)] = errUnanswered
	}
	for _, topic := range res.(*produce.Response).Topics {
		for _, a := range topic.Partitions {
			answers[int(a.Partition)] = nil
			if a.ErrorCode != 0 {
				answers[int(a.Partition)] = kafkago.Error(a.ErrorCode)
			}
		}
	}
	return answers, nil
}

// pieceLen is how many of the records go into one request; at least one.
func pieceLen(records []record) int {
	size := 0
	for i, r := range records {
		size += r.size()
		if i > 0 && (i == pieceEvents || size > pieceBytes) {
			return i
		}
	}
	return len(records)
}

// missing says whether the topic is not there, which kafka-go tells in two ways: as the broker's answer, and as the state of
// its own cache.
func missing(err error) bool {
	return errors.Is(err, kafkago.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoTopic)
}

// temporary is true for everything but a broker's clear and lasting no.
func temporary(err error) bool {
	var code kafkago.Error
	return !errors.As(err, &code) || code.Temporary()
}

// record is one event in the form of the topic.
type record struct {
	key, value []byte
	headers    []kafkago.Header
}

func (r record) size() int {
	n := len(r.key) + len(r.value) + 16
	for _, h := range r.headers {
		n += len(h.Key) + len(h.Value) + 4
	}
	return n
}

// recordReader hands records to kafka-go one at a time, without a copy of them.
type recordReader struct {
	records    []record
	rec        kafkago.Record
	key, value closer
}

type closer struct{ bytes.Reader }

func (*closer) Close() error { return nil }

// ReadRecord returns the next record, which is good until the next call.
func (r *recordReader) ReadRecord() (*kafkago.Record, error) {
	if len(r.records) == 0 {
		return nil, io.EOF
	}
	next := r.records[0]
	r.records = r.records[1:]
	r.key.Reset(next.key)
	r.value.Reset(next.value)
	r.rec = kafkago.Record{Key: &r.key, Value: &r.value, Headers: next.headers}
	return &r.rec, nil
}
