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
	"ansim/schema/tracing"
)

// sweepPage is how many outbox rows one sweep looks at in a transaction.
const sweepPage = 1000

// drain is how long requests under way may go on after Stop; with the recording it stays within the 15 s of a stop.
const drain = 8 * time.Second

// Options are what a Notifier needs.
type Options struct {
	DB        *sqldb.DB
	Source    Source // nil: only the sweeper brings events
	Written   Written
	Directory Directory
	Provider  Provider
	Recorder  *Recorder
	Policy    Policy
	Metrics   *Metrics
	Tracer    *tracing.Tracer // nil: nothing is traced
	Log       *slog.Logger
}

// Notifier runs intake, sender, reconciler and sweeper. Any number of processes may run one on the same database.
type Notifier struct {
	opts  Options
	pace  *pacer
	heart *heart
	stop  context.CancelFunc
	hard  context.CancelFunc
	done  sync.WaitGroup
	wake  chan struct{}
	left  sync.Once
}

// Start runs a notifier until Stop.
func Start(opts Options) *Notifier {
	opts.Policy = opts.Policy.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	hardCtx, hard := context.WithCancel(context.Background())
	n := &Notifier{opts: opts, stop: stop, hard: hard, wake: make(chan struct{}, 1)}
	n.pace = newPacer(opts.Policy, time.Now)
	opts.Metrics.watch(n.pace)
	m := &meter{}
	s := &sender{db: opts.DB, directory: opts.Directory, render: Appointment.text, provider: opts.Provider, recorder: opts.Recorder,
		policy: opts.Policy, metrics: opts.Metrics, tracer: opts.Tracer, log: opts.Log, pace: n.pace, meter: m, wake: n.wake}
	n.done.Go(func() { s.run(ctx, hardCtx) })
	if opts.Source != nil {
		in := &intake{db: opts.DB, source: opts.Source, written: opts.Written, metrics: opts.Metrics, tracer: opts.Tracer, log: opts.Log, wake: n.Wake}
		n.done.Go(func() { in.run(ctx) })
	}
	n.heart = newHeart(opts.DB, n.pace, m)
	n.job(ctx, "heartbeat", beat, n.heart.beat)
	rec := &reconciler{db: opts.DB, directory: opts.Directory, provider: opts.Provider, recorder: opts.Recorder,
		policy: opts.Policy, metrics: opts.Metrics, log: opts.Log, wake: n.Wake, now: time.Now}
	expire := seldom(rec.expire)
	n.job(ctx, "expire", opts.Policy.LookEvery, func(ctx context.Context) (bool, error) {
		handled, err := expire(ctx)
		return handled >= expireClaim, err
	})
	for name, round := range map[string]func(context.Context) (int, error){"look": rec.looks, "poll": seldom(rec.polls)} {
		n.job(ctx, name, opts.Policy.LookEvery, func(ctx context.Context) (bool, error) {
			handled, err := round(ctx)
			return handled >= lookClaim, err // with fewer the budget is used up, or nothing is due
		})
	}
	if opts.Policy.SweepEvery > 0 {
		sw := &sweeper{db: opts.DB, policy: opts.Policy, metrics: opts.Metrics, log: opts.Log, wake: n.Wake}
		n.job(ctx, "sweep", opts.Policy.SweepEvery, sw.round)
	}
	return n
}

// seldom leaves out the next nine rounds after one that found nothing to do: what is due after minutes can wait for seconds, and to find
// that nothing is due costs a busy database more than it seems.
func seldom(round func(context.Context) (int, error)) func(context.Context) (int, error) {
	leave := 0
	return func(ctx context.Context) (handled int, err error) {
		if leave > 0 {
			leave--
			return 0, nil
		}
		if handled, err = round(ctx); handled == 0 && err == nil {
			leave = 9
		}
		return handled, err
	}
}

// job calls f now and then every d, at once when it says that there is more, until ctx ends. Only a round without an error beats.
func (n *Notifier) job(ctx context.Context, name string, d time.Duration, f func(context.Context) (more bool, err error)) {
	n.opts.Metrics.Beat(name)
	n.done.Go(func() {
		for ctx.Err() == nil {
			more, err := guarded(func() (bool, error) { return f(ctx) })
			switch {
			case err == nil:
				n.opts.Metrics.Beat(name)
			case ctx.Err() == nil:
				n.opts.Log.Error("a round failed; the next one tries again", "job", name, "error", err)
			}
			if !more || err != nil {
				pause(ctx, d)
			}
		}
	})
}

// Provider says how the provider is seen from here: "ok"; "throttled" when it asks for fewer requests; "away" when it cannot be
// reached or does not answer; "refused" when it refuses our account or settings.
func (n *Notifier) Provider() string {
	state, _ := n.pace.status()
	return string(state)
}

// Wake tells the sender that something may be due.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Stop starts nothing more, waits for the requests under way up to 8 s, and returns when all
// is recorded. It may be called twice.
func (n *Notifier) Stop() {
	n.stop()
	t := time.AfterFunc(drain, n.hard)
	defer t.Stop()
	n.done.Wait()
	n.hard()
	n.left.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drain/4)
		defer cancel()
		if err := n.heart.stop(ctx); err != nil {
			n.opts.Log.Warn("this notifier is still on the list of those that run, until it is forgotten", "error", err)
		}
	})
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
