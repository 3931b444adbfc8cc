package kafka_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	kafkago "github.com/segmentio/kafka-go"

	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/test/leaks"
)

// patience is for what takes a broker's restart or a rebalance, on two busy cores.
const patience = 90 * time.Second

// TestMain fails when something is left running after all that was started was closed.
func TestMain(m *testing.M) { leaks.Main(m) }

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// story returns n events about keys reservations, taking turns, so that the version of an event counts within its key.
func story(keys, n int) []event.Event {
	ids := make([]string, keys)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Type: event.Changed, ReservationID: ids[i%keys], Version: i/keys + 1,
			Recipients: []event.Recipient{event.Resident}, Time: time.Date(2026, 7, 19, 11, 0, 0, 0, time.UTC),
		}
	}
	return events
}

func ensure(t testing.TB, addr string) {
	t.Helper()
	if err := kafka.EnsureTopics(within(t, patience), kafka.At(addr), kafka.TopicOptions{}); err != nil {
		t.Fatal(err)
	}
}

func publisher(t testing.TB, addr string) *kafka.Publisher {
	t.Helper()
	p, err := kafka.NewPublisher(kafka.At(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// publish publishes to a broker that works, and says whether it had to ask again, as the contract of outbox.Publisher has it: a
// topic that was made a moment ago may still answer that a partition has no leader. Then what others took stands there twice.
func publish(t testing.TB, p *kafka.Publisher, events []event.Event) (again bool) {
	t.Helper()
	failed := publishUntil(t, p, events)
	if failed > 0 {
		t.Logf("%d tries before the broker took %d events", failed, len(events))
	}
	return failed > 0
}

// publishUntil publishes as the relay does: again and again until it is done. It returns how often that failed.
func publishUntil(t testing.TB, p *kafka.Publisher, events []event.Event) (failed int) {
	t.Helper()
	ctx := within(t, patience)
	for {
		err := p.Publish(ctx, events)
		if err == nil {
			return failed
		}
		failed++
		select {
		case <-ctx.Done():
			t.Fatalf("publish: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func consumer(t testing.TB, addr string) *kafka.Consumer {
	t.Helper()
	c, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: kafka.At(addr), Log: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// reading is what a consumer has seen.
type reading struct {
	times map[string]int // event id → how often it came
	last  map[string]int // reservation id → highest version so far
	// places are how often the record at a place came. An event may be at several: a publish that failed in part was repeated.
	places map[[2]int64]int
	// anyOrder is for a topic that was made anew and has grown past the old offsets before that was noticed: its later
	// records come first, and then all of them from the first on.
	anyOrder bool
}

func newReading() *reading {
	return &reading{times: map[string]int{}, last: map[string]int{}, places: map[[2]int64]int{}}
}

// add notes the records, and fails when an event comes for the first time after a later one of its reservation.
func (r *reading) add(t testing.TB, records []kafka.Record) {
	t.Helper()
	for _, rec := range records {
		e, err := event.Decode(rec.Headers, rec.Body)
		if err != nil {
			t.Fatalf("partition %d offset %d: %v", rec.Partition, rec.Offset, err)
		}
		if !r.anyOrder && r.times[e.ID] == 0 && e.Version <= r.last[e.ReservationID] {
			t.Errorf("version %d came first after version %d", e.Version, r.last[e.ReservationID])
		}
		r.times[e.ID]++
		r.places[[2]int64{int64(rec.Partition), rec.Offset}]++
		r.last[e.ReservationID] = max(r.last[e.ReservationID], e.Version)
	}
}

// once fails when a record came twice, or an event though it was published once.
func (r *reading) once(t testing.TB, again bool) {
	t.Helper()
	for id, n := range r.times {
		if n != 1 && !again {
			t.Fatalf("event %s came %d times", id, n)
		}
	}
	for place, n := range r.places {
		if n != 1 {
			t.Fatalf("the record at offset %d of partition %d came %d times", place[1], place[0], n)
		}
	}
}

func (r *reading) missing(events []event.Event) int {
	n := 0
	for _, e := range events {
		if r.times[e.ID] == 0 {
			n++
		}
	}
	return n
}

// read fetches, and commits, until all events have come.
func (r *reading) read(t testing.TB, c *kafka.Consumer, events []event.Event) {
	t.Helper()
	ctx := within(t, patience)
	for r.missing(events) > 0 {
		records, err := c.Fetch(ctx, 500)
		if err != nil {
			t.Fatalf("fetch: %v; %d of %d events are missing", err, r.missing(events), len(events))
		}
		r.add(t, records)
		if err := c.Commit(ctx, records); err != nil {
			t.Logf("commit: %v", err)
		}
	}
}

// eventually repeats what a broker that has only just come up refuses for a moment.
func eventually(t testing.TB, do func(context.Context) error) {
	t.Helper()
	ctx := within(t, patience)
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// client is for what a test does behind the package's back, and mostly once: it waits for a broker that stands still.
func client(t testing.TB, addr string) *kafkago.Client {
	transport := &kafkago.Transport{DialTimeout: patience / 3}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(addr), Timeout: patience / 3, Transport: transport}
}

// deleteTopic returns once the topic is gone.
func deleteTopic(t testing.TB, addr string) {
	t.Helper()
	ctx := within(t, patience)
	res, err := client(t, addr).DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: []string{event.Topic}})
	if err == nil {
		err = res.Errors[event.Topic]
	}
	if err != nil {
		t.Fatalf("delete topic: %v", err)
	}
}

// committed is the sum of the group's offsets.
func committed(t testing.TB, addr string) (sum int64) {
	t.Helper()
	for _, o := range offsets(t, addr) {
		sum += o.Offset
	}
	return sum
}
