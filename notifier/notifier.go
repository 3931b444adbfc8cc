package notifier

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// sweepPage is how many outbox rows one sweep looks at in a transaction.
const sweepPage = 1000

// drain is how long requests under way may go on after Stop; with the recording it stays within the 15 s of a stop.
const drain = 8 * time.Second

// Options are what a Notifier needs.
type Options struct {
	DB        *sqldb.DB
	Source    Source // nil: only the sweeper brings events
	Directory Directory
	Provider  Provider
	Recorder  *Recorder
	Policy    Policy
	Metrics   *Metrics
	Log       *slog.Logger
}

// Notifier runs intake, sender, reconciler and sweeper. Any number of processes may run one on the same database.
type Notifier struct {
	opts   Options
	sender *sender
	stop   context.CancelFunc
	hard   context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{}
}

// Start runs a notifier until Stop.
func Start(opts Options) *Notifier {
	opts.Policy = opts.Policy.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	hardCtx, hard := context.WithCancel(context.Background())
	n := &Notifier{opts: opts, stop: stop, hard: hard, wake: make(chan struct{}, 1)}
	s := &sender{db: opts.DB, directory: opts.Directory, provider: opts.Provider, recorder: opts.Recorder, policy: opts.Policy,
		metrics: opts.Metrics, log: opts.Log, wake: n.wake, slots: make(chan struct{}, opts.Policy.Slots)}
	n.sender = s
	n.done.Go(func() { s.run(ctx, hardCtx) })
	if opts.Source != nil {
		in := &intake{db: opts.DB, source: opts.Source, metrics: opts.Metrics, log: opts.Log, wake: n.Wake}
		n.done.Go(func() { in.run(ctx) })
	}
	rec := &reconciler{db: opts.DB, directory: opts.Directory, provider: opts.Provider, recorder: opts.Recorder,
		policy: opts.Policy, metrics: opts.Metrics, log: opts.Log, wake: n.Wake}
	n.done.Go(func() {
		every(ctx, opts.Policy.LookEvery, opts.Log, "expire", func() (bool, error) {
			handled, err := rec.expire(ctx)
			return handled >= opts.Policy.Claim, err
		})
	})
	n.done.Go(func() {
		every(ctx, opts.Policy.LookEvery, opts.Log, "reconcile", func() (bool, error) {
			handled, err := rec.round(ctx)
			return handled >= lookClaim, err
		})
	})
	if opts.Policy.SweepEvery > 0 {
		sw := &sweeper{db: opts.DB, policy: opts.Policy, metrics: opts.Metrics, log: opts.Log, wake: n.Wake}
		n.done.Go(func() {
			every(ctx, opts.Policy.SweepEvery, opts.Log, "sweep", func() (bool, error) { return sw.round(ctx) })
		})
	}
	return n
}

// Provider says how the provider is seen from here: "ok", "away" when the last request did not reach it, or "resting" while
// nothing is sent because it refuses our account or asks for fewer requests.
func (n *Notifier) Provider() string {
	switch {
	case n.sender.resting() > 0 || n.sender.isProbing():
		return "resting"
	case n.sender.away.Load():
		return "away"
	}
	return "ok"
}

// Wake tells the sender that something may be due.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Stop starts nothing more, gives back what was claimed, waits for the requests under way up to 8 s, and returns when all
// is recorded. It may be called twice.
func (n *Notifier) Stop() {
	n.stop()
	t := time.AfterFunc(drain, n.hard)
	defer t.Stop()
	n.done.Wait()
	n.hard()
}

// every calls f now and then every d, at once when it says that there is more, until ctx ends.
func every(ctx context.Context, d time.Duration, log *slog.Logger, job string, f func() (more bool, err error)) {
	for ctx.Err() == nil {
		more, err := guarded(f)
		if err != nil && ctx.Err() == nil {
			log.Error("a round failed; the next one tries again", "job", job, "error", err)
		}
		if !more || err != nil {
			pause(ctx, d)
		}
	}
}

// guarded turns a panic into an error, so that one bad row does not end a job for good.
func guarded(f func() (bool, error)) (more bool, err error) {
	defer func() {
		if recover() != nil { // the value may hold anything
			more, err = false, fmt.Errorf("it panicked")
		}
	}()
	return f()
}

// page rescues what one page of settled outbox rows lacks, and moves the position behind it. What cannot become a message is
// parked with its reason; with aside, that is all of the page.
func (s *sweeper) page(ctx context.Context, tx *sqldb.Tx, limit int, aside bool) (rescued int64, more bool, err error) {
	position, err := sweepPosition(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return 0, false, err
	}
	events, next, err := outbox.Settled(ctx, tx, position, now.Add(-s.policy.SweepAfter), limit)
	if err != nil || len(events) == 0 {
		return 0, false, err
	}
	known := make([]event.Event, 0, len(events))
	for _, e := range events {
		reason := ""
		switch {
		case kindOf[e.Type] == "":
			reason = "event of an unknown type" // a newer program's
		case aside:
			reason = "the database refuses it"
		default:
			known = append(known, e)
			continue
		}
		s.log.Error("an outbox row cannot become a message and is set aside", "event_id", e.ID, "reason", reason)
		s.metrics.parked.Inc()
		if err := park(ctx, tx, "outbox", 0, 0, "{}", []byte(e.ID), reason); err != nil {
			return 0, false, err
		}
	}
	if rescued, err = insert(ctx, tx, known); err != nil {
		return 0, false, err
	}
	_, err = tx.Exec(ctx, `UPDATE sweeper SET position = ?, rescued = rescued + ?, updated_at = ? WHERE id = 1`,
		next, rescued, sqldb.At(now))
	return rescued, len(events) == limit, err
}
