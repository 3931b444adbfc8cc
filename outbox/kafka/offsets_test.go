package kafka_test

import (
	"context"
	"errors"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/outbox/kafka"
	kafkatest "ansim/test/kafka"
)

// total sums what the topic holds and what the group has yet to read of it.
func total(t *testing.T, addr string) (held, lag int64) {
	t.Helper()
	all := offsetsNow(t, addr)
	for _, o := range all {
		held, lag = held+o.End-o.First, lag+o.Lag()
	}
	return held, lag
}

// offsetsNow asks until a broker that has just started answers for groups.
func offsetsNow(t *testing.T, addr string) (all map[int]kafka.Offsets) {
	t.Helper()
	eventually(t, func(ctx context.Context) (err error) {
		all, err = kafka.ReadOffsets(ctx, kafka.At(addr), "")
		return err
	})
	if len(all) != 12 {
		t.Fatalf("%d partitions, want 12", len(all))
	}
	return all
}

// What the brokers say of the group's lag follows what is published and committed, and a topic that was made anew counts from its
// beginning whatever was committed of the one before.
func TestReadOffsets(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		if _, err := kafka.ReadOffsets(within(t, patience), kafka.At(addr), ""); !errors.Is(err, kafka.ErrNoTopic) {
			t.Errorf("without a topic: %v", err)
		}
		ensure(t, addr)
		if held, lag := total(t, addr); held != 0 || lag != 0 {
			t.Errorf("an empty topic holds %d, lag %d", held, lag)
		}
		p, events := publisher(t, addr), story(40, 120)
		publish(t, p, events)
		held, lag := total(t, addr)
		if held < 120 || lag != held { // a publish that was repeated leaves more
			t.Errorf("after publishing 120 it holds %d, lag %d", held, lag)
		}
		c := consumer(t, addr)
		ctx := within(t, patience)
		var got []kafka.Record
		for int64(len(got)) < held {
			records, err := c.Fetch(ctx, 50)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, records...)
		}
		if _, lag := total(t, addr); lag != held {
			t.Errorf("fetched, not committed: lag %d, want %d", lag, held)
		}
		if err := c.Commit(ctx, got); err != nil {
			t.Fatal(err)
		}
		if _, lag := total(t, addr); lag != 0 {
			t.Errorf("all committed: lag %d", lag)
		}
		c.Close()

		// Offsets of another topic count for nothing; those of a person's tool, without an id, do, as far as they can be.
		setOffsets(t, addr, []kafkago.OffsetCommit{{Partition: 0, Offset: 1, Metadata: "another topic"}, {Partition: 1, Offset: 1 << 40}})
		all := offsetsNow(t, addr)
		for p := range 2 {
			if o := all[p]; o.Lag() != o.End-o.First {
				t.Errorf("partition %d: %+v, want a lag of all", p, o)
			}
		}
	})
}
