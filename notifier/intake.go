package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"

	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
	"ansim/schema/tracing"
)

const (
	// intakeBatch is how many records go into one transaction at most.
	intakeBatch = 500
	// intakeIdle is how long the intake waits for records before it says that it is well and has nothing to do.
	intakeIdle = 5 * time.Second
)

// Source is where events come from. What was fetched and not committed comes again, to this process or another.
type Source interface {
	// Fetch waits for records and returns at most max.
	Fetch(ctx context.Context, limit int) ([]kafka.Record, error)
	// Commit says that everything up to these records is stored here.
	Commit(ctx context.Context, records []kafka.Record) error
	// Reading says whether records would come if there were any.
	Reading() bool
}

// intake makes messages of events.
type intake struct {
	db      *sqldb.DB
	source  Source
	written Written // nil: every event is believed
	metrics *Metrics
	tracer  *tracing.Tracer
	log     *slog.Logger
	wake    func() // something may be due for sending
}

// Written says which of these events' changes are in the database.
type Written func(ctx context.Context, tx *sqldb.Tx, eventIDs []string) (map[string]bool, error)

// run takes records in until ctx ends. A record's offset is committed only after its messages, or the record itself with the
// reason why it cannot be used, are stored; so a failure anywhere brings it again, and a second time changes nothing.
func (in *intake) run(ctx context.Context) {
	in.metrics.Beat("intake")
	for ctx.Err() == nil {
		fetching, cancel := context.WithTimeout(ctx, intakeIdle)
		records, err := in.source.Fetch(fetching, intakeBatch)
		idle := fetching.Err() != nil
		cancel()
		if err != nil {
			switch {
			case ctx.Err() != nil:
			case !idle:
				in.log.Error("cannot fetch events", "error", err)
				pause(ctx, time.Second)
			case in.source.Reading():
				in.metrics.Beat("intake")
			}
			continue
		}
		if len(records) == 0 {
			continue
		}
		fetched := time.Now()
		sabotage.Point("intake.after_fetch")
		policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
			backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0)) // no end: nothing else would take them in
		err = backoff.RetryNotify(func() error { return in.store(ctx, records) }, backoff.WithContext(policy, ctx),
			func(err error, wait time.Duration) {
				in.log.Error("cannot store events; they are tried again", "count", len(records), "wait", wait, "error", err)
			})
		if err != nil {
			return // ctx ended; the records come again
		}
		in.trace(records, fetched)
		in.wake()
		sabotage.Point("intake.before_offset")
		switch err := in.source.Commit(ctx, records); {
		case err == nil:
			in.metrics.Beat("intake")
		case ctx.Err() == nil:
			// Not a failure of processing: the records come again, and are there already.
			in.log.Warn("cannot commit offsets", "error", err)
		}
		sabotage.Point("intake.after_offset")
	}
}

// trace tells that records were taken in.
func (in *intake) trace(records []kafka.Record, fetched time.Time) {
	if !in.tracer.On() {
		return
	}
	for _, r := range records {
		e, err := decode(r)
		if err != nil {
			continue // parked, which is told elsewhere
		}
		s := in.tracer.Follow(e.Traceparent, "take in", tracing.Consumer, fetched)
		s.Note("messaging.system", "kafka")
		s.Note("messaging.destination.name", r.Topic)
		s.Note("ansim.reservation_id", e.ReservationID)
		s.Note("ansim.event_id", e.ID)
		s.End()
	}
}

// store inserts a batch. If the database refuses it for what it holds, its records go one by one, and the guilty one is
// parked.
func (in *intake) store(ctx context.Context, records []kafka.Record) error {
	err := in.storeOnce(ctx, records)
	if err == nil || !sqldb.IsRefusedData(err) {
		return err
	}
	for _, r := range records {
		one := []kafka.Record{r}
		err := in.storeOnce(ctx, one)
		if err != nil && sqldb.IsRefusedData(err) {
			err = in.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				return in.park(ctx, tx, r, "the database refuses it")
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *intake) storeOnce(ctx context.Context, records []kafka.Record) error {
	return in.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		events, of := make([]event.Event, 0, len(records)), make(map[string]kafka.Record, len(records))
		for _, r := range records {
			e, err := decode(r)
			if err == nil {
				events, of[e.ID] = append(events, e), r
				continue
			}
			if err := in.park(ctx, tx, r, err.Error()); err != nil {
				return err
			}
		}
		events, err := in.believed(ctx, tx, events, of)
		if err != nil {
			return err
		}
		_, err = insert(ctx, tx, events)
		return err
	})
}

// believed are the events whose changes are in the database. An event is published only after its change was committed; so when
// there is one that is not there, the database is older than it was, and what it says of texts is, too: sending freezes. The
// event is set aside with that reason, since no text goes out without a committed cause.
func (in *intake) believed(ctx context.Context, tx *sqldb.Tx, events []event.Event, of map[string]kafka.Record) ([]event.Event, error) {
	if in.written == nil || len(events) == 0 {
		return events, nil
	}
	ids := make([]string, 0, len(events))
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	there, err := in.written(ctx, tx, ids)
	if err == nil && len(there) < len(ids) { // those whose outbox rows were deleted behind us have their messages
		err = taken(ctx, tx, ids, there)
	}
	if err != nil {
		return nil, err
	}
	if len(there) == len(ids) {
		return events, nil
	}
	pruned, err := outbox.Pruned(ctx, tx)
	if err != nil {
		return nil, err
	}
	out := events[:0]
	for _, e := range events {
		if there[e.ID] {
			out = append(out, e)
			continue
		}
		// A topic that keeps events for longer than the database keeps what it knows of them: their texts are past.
		if e.Time.Before(pruned) {
			in.log.Debug("an event is older than what the database keeps, and is passed over", "event_id", e.ID)
			continue
		}
		if err := in.park(ctx, tx, of[e.ID], "its change is not in the database"); err != nil {
			return nil, err
		}
		if err := freeze(ctx, tx, FrozenByTopic, ""); err != nil {
			return nil, err
		}
		in.log.Error("sending is frozen: Kafka holds a change that the database does not, so the database was put back", "event_id", e.ID,
			"reason", FrozenByTopic, "do", "see what README says of restoring, then `ansim resume`")
	}
	return out, nil
}

// decode shields the loop from a record on which the decoder panics.
func decode(r kafka.Record) (e event.Event, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: the decoder panicked", event.ErrMalformed)
		}
	}()
	return event.Decode(r.Headers, r.Body)
}

func (in *intake) park(ctx context.Context, tx *sqldb.Tx, r kafka.Record, reason string) error {
	headers := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	text, err := json.Marshal(headers) // makes valid UTF-8 of whatever it was
	if err != nil {
		return fmt.Errorf("park an event: %w", err)
	}
	in.metrics.parked.Inc()
	in.log.Error("an event cannot be used and is set aside", "partition", r.Partition, "offset", r.Offset, "reason", reason)
	return park(ctx, tx, r.Topic, r.Partition, r.Offset, string(text), r.Body, reason)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// sweeper makes messages of outbox rows that Kafka has not brought in time.
type sweeper struct {
	db      *sqldb.DB
	policy  Policy
	metrics *Metrics
	log     *slog.Logger
	wake    func()
}

// round looks at one page of outbox rows behind the position and moves it; more says that another page may be there. When
// the database refuses what a row holds, rows go one by one, and the guilty one is set aside: it must not hold up the rest.
func (s *sweeper) round(ctx context.Context) (more bool, err error) {
	rescued, more, err := s.sweep(ctx, sweepPage, false)
	if sqldb.IsRefusedData(err) {
		if rescued, _, err = s.sweep(ctx, 1, false); sqldb.IsRefusedData(err) {
			rescued, _, err = s.sweep(ctx, 1, true)
		}
		more = true
	}
	if errors.Is(err, errBusy) {
		return false, nil
	}
	if err == nil && rescued > 0 {
		s.metrics.rescued.Add(float64(rescued))
		s.log.Warn("made messages that Kafka did not bring", "count", rescued)
		s.wake()
	}
	return more, err
}

func (s *sweeper) sweep(ctx context.Context, limit int, aside bool) (rescued int64, more bool, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		rescued, more, err = s.page(ctx, tx, limit, aside)
		return err
	})
	return rescued, more, err
}
