package kafka_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/outbox/kafka"
	"ansim/schema/event"
	kafkatest "ansim/test/kafka"
)

// The broker stops while events are published and read: publishing fails, goes on by itself, and nothing is missing.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	kafkatest.EachCluster(t, func(t *testing.T, broker kafkatest.Cluster) {
		ensure(t, broker.Addr())
		p, c, r := publisher(t, broker.Addr()), consumer(t, broker.Addr()), newReading()
		events := story(50, 3000)
		publish(t, p, events[:1000])
		r.read(t, c, events[:1000])

		broker.Stop()
		if err := p.Publish(within(t, patience), events[1000:2000]); err == nil {
			t.Fatal("published without a broker")
		}
		failed := make(chan int)
		go func() { failed <- publishUntil(t, p, events[1000:2000]) }()
		broker.Restart()
		<-failed
		r.read(t, c, events[:2000])

		// A second time, without a pause in which anybody could notice.
		broker.Restart()
		publishUntil(t, p, events[2000:])
		r.read(t, c, events)
	})
}

// The topic is deleted and made again under a running consumer whose committed offsets are higher than anything in it.
func TestTopicRecreated(t *testing.T) {
	t.Parallel()
	kafkatest.EachCluster(t, func(t *testing.T, broker kafkatest.Cluster) {
		ensure(t, broker.Addr())
		p, c, r := publisher(t, broker.Addr()), consumer(t, broker.Addr()), newReading()
		old := story(60, 3000)
		publish(t, p, old)
		r.read(t, c, old)

		deleteTopic(t, broker.Addr())
		// First fewer than before, so that the old offset is beyond the end; then more, so that it is within.
		few, many := story(60, 600), story(60, 6000)
		// On a slow machine the repeats of a publish that failed half-way may grow beyond the old offset even then.
		r.anyOrder = true
		publishUntil(t, p, few)
		r.read(t, c, few)
		deleteTopic(t, broker.Addr())
		publishUntil(t, p, many)
		r.read(t, c, many)
	})
}

// The same while no consumer runs, with the group's offsets put back as a careless restore would.
func TestTopicRecreatedWhileAway(t *testing.T) {
	t.Parallel()
	kafkatest.EachCluster(t, func(t *testing.T, broker kafkatest.Cluster) {
		ensure(t, broker.Addr())
		p, c, r := publisher(t, broker.Addr()), consumer(t, broker.Addr()), newReading()
		old := story(60, 1200)
		publish(t, p, old)
		r.read(t, c, old)
		c.Close()
		was := offsets(t, broker.Addr())

		deleteTopic(t, broker.Addr())
		events := story(60, 2400)
		publishUntil(t, p, events)
		setOffsets(t, broker.Addr(), was)
		r.read(t, consumer(t, broker.Addr()), events)
	})
}

// Offsets beyond the end of the very topic, as after a broker lost the end of its log.
func TestOffsetBeyondEnd(t *testing.T) {
	t.Parallel()
	kafkatest.EachCluster(t, func(t *testing.T, broker kafkatest.Cluster) {
		ensure(t, broker.Addr())
		events := story(60, 600)
		publish(t, publisher(t, broker.Addr()), events)
		var far []kafkago.OffsetCommit
		for p := range 12 {
			far = append(far, kafkago.OffsetCommit{Partition: p, Offset: 1_000_000})
		}
		setOffsets(t, broker.Addr(), far)
		newReading().read(t, consumer(t, broker.Addr()), events)
	})
}

// All of Kafka is lost: an empty broker with the same address, without the topic and without the group.
func TestBrokerWiped(t *testing.T) {
	t.Parallel()
	kafkatest.EachCluster(t, func(t *testing.T, broker kafkatest.Cluster) {
		ensure(t, broker.Addr())
		p, c, r := publisher(t, broker.Addr()), consumer(t, broker.Addr()), newReading()
		events := story(60, 2400)
		publish(t, p, events[:1200])
		r.read(t, c, events[:1200])
		broker.Wipe()
		publishUntil(t, p, events[1200:])
		r.read(t, c, events)
	})
}

// Two consumers share the partitions, and when one leaves the other takes all.
func TestRebalance(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ensure(t, addr)
		p, one := publisher(t, addr), consumer(t, addr)
		r := newReading()
		first := story(100, 1000)
		publish(t, p, first)
		r.read(t, one, first)

		two := consumer(t, addr)
		both := map[string]int{}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		type batch struct {
			who     string
			records []kafka.Record
		}
		batches := make(chan batch)
		fetch := func(who string, c *kafka.Consumer) {
			for {
				records, err := c.Fetch(ctx, 100)
				if err != nil {
					return
				}
				// Committed when it is noted: what is behind it may come by the other one as soon as it is committed.
				select {
				case batches <- batch{who, records}:
				case <-ctx.Done():
					return
				}
				if err := c.Commit(ctx, records); err != nil {
					t.Logf("commit: %v", err)
				}
			}
		}
		var fetching sync.WaitGroup
		defer fetching.Wait()
		defer cancel()
		fetching.Go(func() { fetch("one", one) })
		fetching.Go(func() { fetch("two", two) })
		for both["one"] == 0 || both["two"] == 0 {
			events := story(100, 200)
			publish(t, p, events)
			both["one"], both["two"] = 0, 0
			for r.missing(events) > 0 {
				select {
				case b := <-batches:
					r.add(t, b.records)
					both[b.who] += len(b.records)
				case <-ctx.Done():
					t.Fatalf("%d events are missing", r.missing(events))
				}
			}
		}
		fetching.Go(func() { two.Close() })
		events := story(100, 1000)
		publish(t, p, events)
		for r.missing(events) > 0 {
			select {
			case b := <-batches:
				r.add(t, b.records)
			case <-ctx.Done():
				t.Fatalf("%d events are missing after one consumer left", r.missing(events))
			}
		}
	})
}

func offsets(t testing.TB, addr string) []kafkago.OffsetCommit {
	t.Helper()
	var partitions []int
	for p := range 12 {
		partitions = append(partitions, p)
	}
	res, err := client(t, addr).OffsetFetch(within(t, patience), &kafkago.OffsetFetchRequest{
		GroupID: kafka.DefaultGroup, Topics: map[string][]int{event.Topic: partitions},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []kafkago.OffsetCommit
	for _, p := range res.Topics[event.Topic] {
		if p.CommittedOffset >= 0 {
			all = append(all, kafkago.OffsetCommit{Partition: p.Partition, Offset: p.CommittedOffset, Metadata: p.Metadata})
		}
	}
	return all
}

// setOffsets commits as a tool does, from outside the group, which must be empty.
func setOffsets(t testing.TB, addr string, offsets []kafkago.OffsetCommit) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		res, err := client(t, addr).OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
			GroupID: kafka.DefaultGroup, GenerationID: -1, Topics: map[string][]kafkago.OffsetCommit{event.Topic: offsets},
		})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[event.Topic] {
			err = errors.Join(err, p.Error)
		}
		return err
	})
}
