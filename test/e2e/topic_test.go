package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/schema/event"
	kafkatest "ansim/test/kafka"
)

// topicHolds reads the whole topic and wants each event that the crowds caused in it, once or more, and the first copies of
// a reservation's events in the order of its versions. Nothing that names a person may be in it.
func (in *installation) topicHolds(broker *kafkatest.Broker, crowds ...*crowd) {
	in.t.Helper()
	type change struct {
		id      string
		version int
	}
	want, named := map[change]bool{}, map[string]bool{}
	for _, c := range crowds {
		for _, p := range c.people {
			want[change{p.id, 1}] = true
			if p.gone {
				want[change{p.id, 2}] = true
			}
			named[p.code], named[p.identity], named[p.phone] = true, true, true
		}
	}
	seen, last := map[change]int{}, map[string]int{}
	for _, m := range readTopic(in.t, broker) {
		headers := make([]event.Header, len(m.Headers))
		for i, h := range m.Headers {
			headers[i] = event.Header{Key: h.Key, Value: h.Value}
		}
		e, err := event.Decode(headers, m.Value)
		if err != nil {
			in.t.Errorf("partition %d, offset %d: %v", m.Partition, m.Offset, err)
			continue
		}
		if string(m.Key) != e.ReservationID {
			in.t.Errorf("partition %d, offset %d: the key is not the reservation's id", m.Partition, m.Offset)
		}
		ch := change{e.ReservationID, e.Version}
		if !want[ch] {
			in.t.Errorf("the topic holds version %d of %s, which nobody was told of", ch.version, ch.id)
		}
		if seen[ch]++; seen[ch] == 1 {
			if last[ch.id] > ch.version {
				in.t.Errorf("the topic holds version %d of %s first behind version %d", ch.version, ch.id, last[ch.id])
			}
			last[ch.id] = max(last[ch.id], ch.version)
		}
	}
	for ch := range want {
		if seen[ch] == 0 {
			in.t.Errorf("the topic does not hold version %d of %s", ch.version, ch.id)
		}
	}
}

// readTopic reads what the topic holds now, partition by partition.
func readTopic(t testing.TB, broker *kafkatest.Broker) (all []kafkago.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := kafkago.DialContext(ctx, "tcp", broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(event.Topic)
	if err != nil {
		t.Fatalf("partitions of the topic: %v", err)
	}
	for _, p := range partitions {
		found, err := readPartition(ctx, broker.Addr(), p.ID)
		if err != nil {
			t.Fatalf("read partition %d: %v", p.ID, err)
		}
		all = append(all, found...)
	}
	return all
}

func readPartition(ctx context.Context, addr string, partition int) (found []kafkago.Message, err error) {
	conn, err := kafkago.DialLeader(ctx, "tcp", addr, event.Topic, partition)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	first, end, err := conn.ReadOffsets()
	if err != nil {
		return nil, fmt.Errorf("offsets: %w", err)
	}
	if first == end {
		return nil, nil
	}
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: []string{addr}, Topic: event.Topic, Partition: partition,
		MaxWait: 100 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(first); err != nil {
		return nil, err
	}
	for {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, m)
		if m.Offset >= end-1 {
			return found, nil
		}
	}
}
