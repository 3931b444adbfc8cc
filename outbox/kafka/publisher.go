package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"ansim/outbox"
	"ansim/schema/event"
)

const (
	// pieceEvents and pieceBytes bound one produce request of one partition. Brokers take 1 MiB unless told otherwise.
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
// It uses kafka-go's Client.Produce rather than its Writer. A Writer collects what several calls want to write into
// batches of its own: it waits for its BatchTimeout before each, allocates BatchSize messages for every batch of every
// partition however few there are, and when a call is larger than a batch it goes on with the second batch of a partition
// after the first has failed, so that a later event of a reservation is stored without the earlier. Here one partition's
// pieces are written one after the other, and the first that fails is the last that is tried.
type Publisher struct {
	brokers   []string
	transport *kafkago.Transport
	client    *kafkago.Client
	balancer  kafkago.Murmur2Balancer
}

var _ outbox.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher. It connects when it is first used, so brokers may be away.
func NewPublisher(brokers []string) (*Publisher, error) {
	if len(brokers) == 0 {
		return nil, fmt.Errorf("new publisher: %w", ErrNoBrokers)
	}
	t := newTransport()
	return &Publisher{brokers: slices.Clone(brokers), transport: t, client: newClient(brokers, t)}, nil
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
		if made := ensureTopic(ctx, p.brokers, p.client, TopicOptions{}); made != nil {
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
	lanes, err := p.lanes(ctx, events)
	if err != nil {
		return err
	}
	errs := make([]error, len(lanes))
	var wg sync.WaitGroup
	for partition, lane := range lanes {
		if len(lane) > 0 {
			wg.Go(func() { errs[partition] = p.publishLane(ctx, partition, lane) })
		}
	}
	wg.Wait()
	// All partitions usually fail for one reason; the first says it.
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// lanes encodes the events and sorts them by partition.
func (p *Publisher) lanes(ctx context.Context, events []event.Event) ([][]record, error) {
	meta, err := p.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{event.Topic}})
	if err != nil {
		return nil, err
	}
	if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) == 0 {
		return nil, kafkago.UnknownTopicOrPartition
	}
	if err := meta.Topics[0].Error; err != nil {
		return nil, err
	}
	n := len(meta.Topics[0].Partitions)
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	lanes := make([][]record, n)
	for _, e := range events {
		headers, body, err := event.Encode(e)
		if err != nil {
			return nil, err
		}
		r := record{key: []byte(e.ReservationID), value: body, headers: make([]kafkago.Header, len(headers))}
		for i, h := range headers {
			r.headers[i] = kafkago.Header{Key: h.Key, Value: h.Value}
		}
		lane := p.balancer.Balance(kafkago.Message{Key: r.key}, ids...)
		lanes[lane] = append(lanes[lane], r)
	}
	return lanes, nil
}

func (p *Publisher) publishLane(ctx context.Context, partition int, lane []record) error {
	for len(lane) > 0 {
		n := pieceLen(lane)
		if err := p.publishPiece(ctx, partition, lane[:n]); err != nil {
			return fmt.Errorf("partition %d: %w", partition, err)
		}
		lane = lane[n:]
	}
	return nil
}

// pieceLen is how many records of the lane go into one request; at least one.
func pieceLen(lane []record) int {
	size := 0
	for i, r := range lane {
		size += r.size()
		if i > 0 && (i == pieceEvents || size > pieceBytes) {
			return i
		}
	}
	return len(lane)
}

// publishPiece writes one record batch, which a broker stores as a whole or not at all.
func (p *Publisher) publishPiece(ctx context.Context, partition int, piece []record) error {
	var err error
	for try := range attempts {
		if try > 0 {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(attemptPause << (try - 1)):
			}
		}
		var res *kafkago.ProduceResponse
		res, err = p.client.Produce(ctx, &kafkago.ProduceRequest{
			Topic: event.Topic, Partition: partition, RequiredAcks: kafkago.RequireAll, Records: &recordReader{records: piece},
		})
		if err == nil {
			err = res.Error
		}
		if err == nil || ctx.Err() != nil || missing(err) || !temporary(err) {
			return err
		}
	}
	return err
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
