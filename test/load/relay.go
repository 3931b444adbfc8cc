package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	kafkago "github.com/segmentio/kafka-go"

	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// rounds is how often the backlog is drained; the middle one counts, since the first meets a broker that is still cold.
const rounds = 3

// drainBacklog measures how fast a relay publishes a backlog that was committed at once.
func drainBacklog(ctx context.Context, st *stage, s settings, r *report) error {
	return withRelay(ctx, st, func(d *drains) error {
		speed, err := d.measure(ctx, s, r, "relay")
		if err != nil {
			return err
		}
		r.add("relay", fmt.Sprintf("drains a backlog of %d rows", s.rows), speed, "rows/s", "300,000 and more")
		return nil
	})
}

// drainWithHistory measures the same without, and then with, rows that were published long ago.
func drainWithHistory(ctx context.Context, st *stage, s settings, r *report) error {
	return withRelay(ctx, st, func(d *drains) error {
		empty, err := d.measure(ctx, s, r, "published, none")
		if err != nil {
			return err
		}
		began := time.Now()
		for left := s.history; left > 0; left -= historyAtOnce {
			if err := d.insert(ctx, min(left, historyAtOnce)); err != nil {
				return err
			}
		}
		for _, statement := range []string{`UPDATE outbox_relay SET position = CAST(pg_current_snapshot() AS text)`, `VACUUM ANALYZE outbox`, `CHECKPOINT`} {
			if _, err := d.db.Pool().ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		r.Notes = append(r.Notes, fmt.Sprintf("published: %d rows were written in %.0f s", s.history, time.Since(began).Seconds()))
		full, err := d.measure(ctx, s, r, "published, all")
		if err != nil {
			return err
		}
		r.add("published", fmt.Sprintf("drains a backlog of %d rows", s.rows), empty, "rows/s", "")
		r.add("published", fmt.Sprintf("… behind %d published ones", s.history), full, "rows/s", "")
		r.add("published", "with them, beside without", 100*full/empty, "%", "")
		return nil
	})
}

// historyAtOnce is how many published rows one transaction writes.
const historyAtOnce = 500_000

// drains is what a backlog needs.
type drains struct {
	st        *stage
	db        *sqldb.DB
	broker    string
	publisher *kafka.Publisher
	published int64
}

func withRelay(ctx context.Context, st *stage, fn func(*drains) error) error {
	db, _, err := st.postgres(ctx, 0)
	if err != nil {
		return err
	}
	broker, err := st.kafka()
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, kafka.At(broker), kafka.TopicOptions{}); err != nil {
		return err
	}
	publisher, err := kafka.NewPublisher(kafka.At(broker))
	if err != nil {
		return err
	}
	defer publisher.Close()
	return fn(&drains{st: st, db: db, broker: broker, publisher: publisher})
}

func (d *drains) insert(ctx context.Context, rows int) error {
	_, err := d.db.Pool().ExecContext(ctx, `INSERT INTO outbox (event_id, type, reservation_id, version, recipients, created_at)
		SELECT gen_random_uuid(), $1, gen_random_uuid(), 1, 'resident', now() FROM generate_series(1, $2)`, string(event.Booked), rows)
	return err
}

// measure is the median speed of some rounds.
func (d *drains) measure(ctx context.Context, s settings, r *report, what string) (float64, error) {
	var speeds []float64
	for round := range rounds {
		if err := d.insert(ctx, s.rows); err != nil {
			return 0, err
		}
		stop, err := profiled(d.st.profile, what)
		if err != nil {
			return 0, err
		}
		m := d.st.startMeter()
		took, err := drain(ctx, d.db, d.publisher, s.rows)
		stop()
		if err != nil {
			return 0, err
		}
		speeds = append(speeds, float64(s.rows)/took.Seconds())
		r.Notes = append(r.Notes, m.note(fmt.Sprintf("%s, round %d", what, round+1)))
	}
	d.published += int64(rounds * s.rows)
	switch stored, err := stored(ctx, d.broker); {
	case err != nil:
		return 0, err
	case stored != d.published:
		return 0, fmt.Errorf("the topic holds %d events of %d", stored, d.published)
	}
	slices.Sort(speeds)
	return speeds[rounds/2], nil
}

// drain runs a relay until it has published n events.
func drain(ctx context.Context, db *sqldb.DB, p outbox.Publisher, n int) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	c := &counting{Publisher: p, left: n, done: cancel}
	if err := outbox.NewRelay(db, c, outbox.RelayOptions{Holder: "load"}).Run(ctx); !errors.Is(err, context.Canceled) {
		return 0, err
	}
	if c.left > 0 {
		return 0, ctx.Err()
	}
	return c.at.Sub(began), nil
}

// counting ends a relay once all that was expected is published.
type counting struct {
	outbox.Publisher
	left int
	at   time.Time
	done func()
}

// Publish implements outbox.Publisher.
func (c *counting) Publish(ctx context.Context, events []event.Event) error {
	err := c.Publisher.Publish(ctx, events)
	if err == nil {
		if c.left -= len(events); c.left <= 0 {
			c.at = time.Now()
			c.done()
		}
	}
	return err
}

// stored is how many records the topic has taken.
func stored(ctx context.Context, broker string) (n int64, err error) {
	conn, err := kafkago.DialContext(ctx, "tcp", broker)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(event.Topic)
	if err != nil {
		return 0, err
	}
	for _, p := range partitions {
		leader, err := kafkago.DialPartition(ctx, "tcp", broker, p)
		if err != nil {
			return 0, err
		}
		last, err := leader.ReadLastOffset()
		_ = leader.Close()
		if err != nil {
			return 0, err
		}
		n += last
	}
	return n, nil
}

// writers is how many transactions of the latency part may be under way at once.
const writers = 32

// commitToConsumer measures the way of an event from its commit to a consumer, at two rates.
func commitToConsumer(ctx context.Context, st *stage, s settings, r *report) error {
	db, _, err := st.postgres(ctx, writers)
	if err != nil {
		return err
	}
	broker, err := st.kafka()
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, kafka.At(broker), kafka.TopicOptions{}); err != nil {
		return err
	}
	publisher, err := kafka.NewPublisher(kafka.At(broker))
	if err != nil {
		return err
	}
	consumer, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: kafka.At(broker)})
	if err != nil {
		return err
	}
	relay := outbox.NewRelay(db, publisher, outbox.RelayOptions{Holder: "load"})
	relayCtx, stopRelay := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = relay.Run(relayCtx) })
	st.onEnd(func() { stopRelay(); running.Wait(); _ = consumer.Close(); _ = publisher.Close() })

	if _, err := trip(ctx, db, relay, consumer, 1000, 6*time.Second); err != nil { // warms everything up, and is not counted
		return err
	}
	for _, run := range []struct {
		rate int
		bare string
	}{{1000, "9"}, {5000, "26 to 49"}} {
		stop, err := profiled(st.profile, fmt.Sprintf("latency-%d", run.rate))
		if err != nil {
			return err
		}
		m := st.startMeter()
		t, err := trip(ctx, db, relay, consumer, run.rate, s.window)
		stop()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("at %d transactions/s: commit to consumer, ", run.rate)
		r.add("latency", name+"p50", quantile(t.fromCommit, .5), "ms", "")
		r.add("latency", name+"p99", quantile(t.fromCommit, .99), "ms", run.bare)
		r.add("latency", name+"max", quantile(t.fromCommit, 1), "ms", "")
		// From the moment at which the transaction was to begin: nothing is hidden by writers that are late.
		r.add("latency", fmt.Sprintf("at %d transactions/s: due to consumer, p99", run.rate), quantile(t.fromDue, .99), "ms", "")
		r.Notes = append(r.Notes, m.note(fmt.Sprintf("latency at %d/s; writers, relay and consumer in this process", run.rate)))
	}
	return nil
}

// trips are the times of all events of one run, sorted.
type trips struct{ fromCommit, fromDue []time.Duration }

// trip commits one event a transaction on a fixed schedule, whatever becomes of the earlier ones, and waits until the
// consumer has seen each. Times are of this process's monotonic clock.
func trip(ctx context.Context, db *sqldb.DB, relay *outbox.Relay, consumer *kafka.Consumer, rate int, window time.Duration) (trips, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*window+30*time.Second)
	defer cancel()
	n := int(float64(rate) * window.Seconds())
	index := make(map[string]int, n) // only read once the run begins
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7()).String()
		index[ids[i]] = i
	}
	began := time.Now().Add(50 * time.Millisecond)
	due := func(i int) time.Time { return began.Add(time.Duration(i) * time.Second / time.Duration(rate)) }
	committed, seen := make([]time.Time, n), make([]time.Time, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, writers+1)
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				wait := time.NewTimer(time.Until(due(i)))
				select {
				case <-wait.C:
				case <-ctx.Done():
					return
				}
				e := event.Event{ID: ids[i], Type: event.Booked, ReservationID: ids[i], Version: 1,
					Recipients: []event.Recipient{event.Resident}, Time: time.Now()}
				if err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
					return outbox.Append(ctx, tx, []event.Event{e})
				}); err != nil {
					failed <- err
					cancel()
					return
				}
				committed[i] = time.Now()
				relay.Wake()
			}
		})
	}
	if err := consume(ctx, consumer, index, seen); err != nil {
		failed <- err
		cancel()
	}
	wg.Wait()
	if len(failed) > 0 {
		return trips{}, <-failed
	}
	var t trips
	for i := range n {
		t.fromCommit = append(t.fromCommit, max(0, seen[i].Sub(committed[i]))) // seen before the writer woke up: at once
		t.fromDue = append(t.fromDue, seen[i].Sub(due(i)))
	}
	slices.Sort(t.fromCommit)
	slices.Sort(t.fromDue)
	return t, nil
}

// consume notes when each event of index was first seen, and returns once all were.
func consume(ctx context.Context, consumer *kafka.Consumer, index map[string]int, seen []time.Time) error {
	for left := len(index); left > 0; {
		records, err := consumer.Fetch(ctx, 500)
		if err != nil {
			return fmt.Errorf("%d events were not seen: %w", left, err)
		}
		now := time.Now()
		for _, rec := range records {
			e, err := event.Decode(rec.Headers, rec.Body)
			if err != nil {
				return err
			}
			if i, ours := index[e.ID]; ours && seen[i].IsZero() {
				seen[i] = now
				left--
			}
		}
		if err := consumer.Commit(ctx, records); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
