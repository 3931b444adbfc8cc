package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"

	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	kafkatest "ansim/test/kafka"
)

func TestEnsureTopics(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ctx := within(t, patience)
		// Several processes start at once.
		errs := make(chan error)
		for range 4 {
			go func() { errs <- kafka.EnsureTopics(ctx, kafka.At("127.0.0.1:1", addr), kafka.TopicOptions{}) }()
		}
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		meta, err := client(t, addr).Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{event.Topic}})
		if err != nil || len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) != 12 {
			t.Fatalf("topic is %+v, %v", meta, err)
		}
		id, err := kafka.ClusterID(ctx, kafka.At(addr))
		if err != nil || id == "" || id != meta.ClusterID {
			t.Errorf("cluster id %q, %v; metadata says %q", id, err, meta.ClusterID)
		}
	})
}

func TestPublishAndConsume(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ensure(t, addr)
		p, events := publisher(t, addr), story(700, 20_000)
		first, second := publish(t, p, events[:1]), publish(t, p, events[1:])
		r := newReading()
		r.read(t, consumer(t, addr), events)
		r.once(t, first || second)
	})
}

// A key's partition is the one that Java's producer chooses.
func TestPartitionIsMurmur2(t *testing.T) {
	t.Parallel()
	addr := kafkatest.Embedded(t)
	ensure(t, addr)
	// Computed with Utils.toPositive(Utils.murmur2(key)) % 12 of org.apache.kafka.common.utils.
	want := map[string]int{
		"0198f3c0-0000-7000-8000-000000000001": 0,
		"0198f3c0-0000-7000-8000-000000000003": 6,
		"0198f3c0-0000-7000-8000-000000000005": 4,
	}
	events := story(len(want), len(want))
	i := 0
	for id := range want {
		events[i].ReservationID = id
		i++
	}
	publish(t, publisher(t, addr), events)
	c, got := consumer(t, addr), map[string]int{}
	for len(got) < len(want) {
		records, err := c.Fetch(within(t, patience), 1)
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(records[0].Headers, records[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		got[e.ReservationID] = records[0].Partition
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}

// A consumer reads once it has its partitions, and not where there is no broker.
func TestReading(t *testing.T) {
	t.Parallel()
	addr := kafkatest.Embedded(t)
	ensure(t, addr)
	publish(t, publisher(t, addr), story(1, 1))
	c := consumer(t, addr)
	if _, err := c.Fetch(within(t, patience), 1); err != nil {
		t.Fatal(err)
	}
	if !c.Reading() {
		t.Error("what has just read does not")
	}
	lonely := consumer(t, "127.0.0.1:1")
	if lonely.Reading() {
		t.Error("it reads from nobody")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c.Reading() {
		t.Error("it is closed, and reads")
	}
}

// Marks of a tool's transaction stand in the topic as records do, and are passed over.
func TestMarksOfTransactions(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ensure(t, addr)
		p, c, r := publisher(t, addr), consumer(t, addr), newReading()
		events := story(60, 120)
		first := publish(t, p, events[:60])
		tool, all := client(t, addr), []kafkago.AddPartitionToTxn{}
		for partition := range 12 {
			all = append(all, kafkago.AddPartitionToTxn{Partition: partition})
		}
		var id *kafkago.ProducerSession
		eventually(t, func(ctx context.Context) error {
			res, err := tool.InitProducerID(ctx, &kafkago.InitProducerIDRequest{TransactionalID: "tool", TransactionTimeoutMs: 60_000, ProducerID: -1, ProducerEpoch: -1})
			if err == nil {
				err = res.Error
			}
			if err == nil {
				id = res.Producer
			}
			return err
		})
		ctx := within(t, patience)
		added, err := tool.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{TransactionalID: "tool", ProducerID: id.ProducerID,
			ProducerEpoch: id.ProducerEpoch, Topics: map[string][]kafkago.AddPartitionToTxn{event.Topic: all}})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range added.Topics[event.Topic] {
			if a.Error != nil {
				t.Fatal(a.Error)
			}
		}
		ended, err := tool.EndTxn(ctx, &kafkago.EndTxnRequest{TransactionalID: "tool", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch, Committed: true})
		if err != nil || ended.Error != nil {
			t.Fatal(err, ended)
		}
		second := publish(t, p, events[60:])
		r.read(t, c, events)
		r.once(t, first || second)
	})
}

func TestRecordForm(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ensure(t, addr)
		e := event.Event{
			ID: "0198f3c0-0000-7000-8000-000000000002", Type: event.Booked, Version: 1,
			ReservationID: "0198f3c0-0000-7000-8000-000000000001",
			Recipients:    []event.Recipient{event.Resident, event.Booker},
			Time:          time.Date(2026, 7, 19, 11, 0, 0, 0, time.UTC), Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}
		publish(t, publisher(t, addr), []event.Event{e})
		records, err := consumer(t, addr).Fetch(within(t, patience), 10)
		if err != nil || len(records) != 1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		headers, body, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(headers, records[0].Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		if !bytes.Equal(body, records[0].Body) {
			t.Errorf("body %s, want %s", records[0].Body, body)
		}
		if records[0].Topic != event.Topic {
			t.Errorf("topic %s", records[0].Topic)
		}
	})
}

// What is not an event comes through as it is, and the one behind it, too: the intake decides what to do with it.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ensure(t, addr)
		eventually(t, func(ctx context.Context) error {
			res, err := client(t, addr).Produce(ctx, &kafkago.ProduceRequest{
				Topic: event.Topic, RequiredAcks: kafkago.RequireAll,
				Records: kafkago.NewRecordReader(
					kafkago.Record{Value: kafkago.NewBytes([]byte("\x00not json"))},
					kafkago.Record{Key: kafkago.NewBytes([]byte("k")), Headers: []kafkago.Header{{Key: "ce_type"}}},
				),
			})
			if err != nil {
				return err
			}
			return res.Error
		})
		c := consumer(t, addr)
		var got []kafka.Record
		for len(got) < 2 {
			records, err := c.Fetch(within(t, patience), 10)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, records...)
		}
		for i, r := range got {
			if _, err := event.Decode(r.Headers, r.Body); !errors.Is(err, event.ErrMalformed) {
				t.Errorf("record %d: %v", i, err)
			}
		}
		if err := c.Commit(within(t, patience), got); err != nil {
			t.Error(err)
		}
	})
}

func TestCommitAndResume(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, addr string) {
		ensure(t, addr)
		ctx := within(t, patience)
		p, events := publisher(t, addr), story(1, 30)
		publish(t, p, events)

		first := consumer(t, addr)
		var got []kafka.Record
		for len(got) < 30 {
			records, err := first.Fetch(ctx, 7)
			if err != nil {
				t.Fatal(err)
			}
			if len(records) > 7 {
				t.Fatalf("%d records for a limit of 7", len(records))
			}
			got = append(got, records...)
		}
		// The later ones first: nothing may be committed past those that are not done.
		if err := first.Commit(ctx, got[10:20]); err != nil {
			t.Fatal(err)
		}
		if n := committed(t, addr); n != 0 {
			t.Fatalf("offset %d was committed over records that are not done", n)
		}
		if err := first.Commit(ctx, got[:10]); err != nil {
			t.Fatal(err)
		}
		if n := committed(t, addr); n != 20 {
			t.Fatalf("committed %d, want 20", n)
		}
		first.Close()
		if _, err := first.Fetch(ctx, 1); !errors.Is(err, kafka.ErrClosed) {
			t.Errorf("fetch after close: %v", err)
		}

		second := newReading()
		second.read(t, consumer(t, addr), events[20:])
		if n := 20 - second.missing(events[:20]); n != 0 {
			t.Errorf("%d committed events came again", n)
		}
	})
}

func TestPublishFails(t *testing.T) {
	t.Parallel()
	p := publisher(t, "127.0.0.1:1")
	err := p.Publish(within(t, patience), story(1, 1))
	if !errors.Is(err, outbox.ErrNotPublished) {
		t.Errorf("no broker: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Publish(ctx, story(1, 1)); !errors.Is(err, outbox.ErrNotPublished) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := kafka.NewPublisher(kafka.Cluster{}); !errors.Is(err, kafka.ErrNoBrokers) {
		t.Errorf("no brokers: %v", err)
	}
}

func TestParseBrokers(t *testing.T) {
	t.Parallel()
	got, err := kafka.ParseBrokers("a:9092, [::1]:9093")
	if err != nil || !cmp.Equal(got, []string{"a:9092", "[::1]:9093"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "a:1,", ":9092", "a:"} {
		if _, err := kafka.ParseBrokers(bad); !errors.Is(err, kafka.ErrNoBrokers) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
