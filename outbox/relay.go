package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ansim/schema/event"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
)

const (
	// shard names the one relay that there is today.
	shard = "main"
	// maxPause bounds the pause after a failure.
	maxPause = 2 * time.Second
	// standby is the longest time between looks at another relay's lease.
	standby = 250 * time.Millisecond
)

// grace is how long a relay that stops may still take to store what it has published, or to give back its lease. Only tests change it.
var grace = 3 * time.Second

// RelayOptions are the parts of NewRelay that have sensible defaults.
type RelayOptions struct {
	// Holder is who this is, for people who look at the lease; say host and process. It need not be unique.
	Holder string
	// Lease is how long a leader that says nothing keeps the lead. Default 3 s.
	Lease time.Duration
	// Page is how many events are published at once, at most. Default 4000, some 1 MB.
	Page int
	// BusyPoll and IdlePoll bound the time between looks at the outbox: the first after something came, doubling to the
	// second while nothing does. Wake shortens either. Defaults 2 ms and 20 ms.
	BusyPoll, IdlePoll time.Duration
	// Pace is the shortest time from a look that found less than a page to the next. Each batch costs the database and Kafka
	// nearly the same, however small it is, so that a relay that looked again at once would keep both busy with batches of one
	// or two. Wake does not shorten it; the first event after a lull, and a backlog, do not wait. Default 3 ms.
	Pace time.Duration
	// Published is told of each event that Kafka has confirmed. It must be quick; may be nil.
	Published func(event.Event)
	// Well is told after each look at the outbox that did not fail and, while another relay leads, at its lease: the relay does
	// what it is there for. It must be quick, and is told up to 500 times a second; may be nil.
	Well func()
	// Log is told of leads won and lost and of failures. Default: nobody.
	Log *slog.Logger
}

// Relay publishes committed events. Any number may run; one leads.
type Relay struct {
	db        *sqldb.DB
	publisher Publisher
	opts      RelayOptions
	holder    string // unlike any other relay's
	wake      chan struct{}
	leading   atomic.Bool
	failing   atomic.Bool
	published atomic.Uint64
	failures  atomic.Uint64
}

// NewRelay makes a relay; Run runs it.
func NewRelay(db *sqldb.DB, p Publisher, opts RelayOptions) *Relay {
	if opts.Lease <= 0 {
		opts.Lease = 3 * time.Second
	}
	if opts.Page <= 0 {
		opts.Page = 4000
	}
	if opts.BusyPoll <= 0 {
		opts.BusyPoll = 2 * time.Millisecond
	}
	if opts.IdlePoll <= 0 {
		opts.IdlePoll = 20 * time.Millisecond
	}
	if opts.Pace <= 0 {
		opts.Pace = 3 * time.Millisecond
	}
	if opts.Well == nil {
		opts.Well = func() {}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Relay{db: db, publisher: p, opts: opts, holder: opts.Holder + "#" + uuid.NewString()[:8], wake: make(chan struct{}, 1)}
}

// Wake says that something was committed. It never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Leading says whether this relay leads.
func (r *Relay) Leading() bool { return r.leading.Load() }

// Failing says whether the publisher refused the last batch that it was given; the relay keeps trying it.
func (r *Relay) Failing() bool { return r.failing.Load() }

// Published is how many events this relay has published since it was made, repeats included.
func (r *Relay) Published() uint64 { return r.published.Load() }

// Failures is how often the publisher has failed since the relay was made.
func (r *Relay) Failures() uint64 { return r.failures.Load() }

// Run leads whenever it can, until ctx ends; then it gives the lead back, so that another takes it at once. It returns the
// error of ctx. Run is to be called once.
func (r *Relay) Run(ctx context.Context) error {
	trouble := patient()
	for ctx.Err() == nil {
		before := r.Published()
		err := r.lead(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errHeld):
			r.opts.Well()
			trouble.Reset()
			pause(ctx, min(standby, r.opts.Lease/4))
		case errors.Is(err, errFenced):
			r.opts.Log.Warn("the relay lost its lead")
		default:
			if r.Published() > before {
				trouble.Reset()
			}
			r.opts.Log.Error("the relay stumbled; it goes on from its stored position", "error", err)
			pause(ctx, trouble.NextBackOff())
		}
	}
	return ctx.Err()
}

// lead serves one term, if the lead can be had.
func (r *Relay) lead(ctx context.Context) error {
	l, pos, err := r.take(ctx)
	if err != nil {
		return err
	}
	r.leading.Store(true)
	r.opts.Log.Info("the relay leads", "epoch", l.epoch)
	defer func() {
		r.leading.Store(false)
		r.failing.Store(false)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := l.release(ctx); err != nil {
			r.opts.Log.Warn("the relay's lease could not be given back; it runs out by itself", "error", err)
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan batch) // one is read while the one before it is published
	g.Go(func() error { return r.keep(ctx, l) })
	g.Go(func() error { return r.read(ctx, pos, batches) })
	g.Go(func() error { return r.publish(ctx, l, batches) })
	return g.Wait()
}

// batch is events in order, and the position behind them.
type batch struct {
	events []event.Event
	next   position
}

// keep renews the lease while batches are read and published, however long that takes.
func (r *Relay) keep(ctx context.Context, l *lease) error {
	for pause(ctx, l.length/3) {
		switch err := l.renew(ctx); {
		case errors.Is(err, errFenced):
			return err
		case err != nil && ctx.Err() == nil:
			r.opts.Log.Warn("the relay's lease cannot be renewed", "error", err)
		}
	}
	return ctx.Err()
}

// read hands on what is committed behind pos, batch by batch.
func (r *Relay) read(ctx context.Context, pos position, batches chan<- batch) error {
	wait := r.opts.BusyPoll
	for {
		began := time.Now()
		rs, next, err := readBehind(ctx, r.db, pos, r.opts.Page)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		r.opts.Well()
		paging := pos.to != ""
		pos = next
		if len(rs) > 0 {
			sabotage.Point("relay.after_fetch")
			wait = r.opts.BusyPoll
			select {
			case batches <- batch{eventsOf(rs), next}:
			case <-ctx.Done():
				return ctx.Err()
			}
			if rest := r.opts.Pace - time.Since(began); rest > 0 && len(rs) < r.opts.Page && !pause(ctx, rest) {
				return ctx.Err()
			}
			continue
		}
		// That nothing lies between two positions need not be stored: the next batch stores a later one.
		for still := !paging; still; {
			if !r.await(ctx, wait) {
				return ctx.Err()
			}
			wait = min(wait*2, r.opts.IdlePoll)
			if still, err = quiet(ctx, r.db, pos); err != nil {
				return fmt.Errorf("look at the outbox: %w", err)
			}
			r.opts.Well()
		}
	}
}

// publish publishes each batch and stores the position behind it: after the events are stored, never before. A crash
// between the two repeats them, and loses none; a stop waits for the second.
func (r *Relay) publish(ctx context.Context, l *lease, batches <-chan batch) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-batches:
			if err := r.insist(ctx, l, b.events); err != nil {
				return err
			}
			sabotage.Point("relay.after_produce")
			moving, cancel := linger(ctx, grace)
			err := l.move(moving, b.next, len(b.events))
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// insist hands events to the publisher until it takes them. There is no last try: nothing may be left out, and what follows
// waits, so that the order is kept. It ends early only with ctx or the lead.
func (r *Relay) insist(ctx context.Context, l *lease, events []event.Event) error {
	err := backoff.RetryNotify(func() error {
		if l.lapsed() {
			if err := l.renew(ctx); err != nil {
				return backoff.Permanent(err)
			}
		}
		return r.once(ctx, events)
	}, backoff.WithContext(patient(), ctx), func(err error, _ time.Duration) {
		r.failures.Add(1)
		if !r.failing.Swap(true) {
			r.opts.Log.Error("events cannot be published; the relay stays where it is and keeps trying", "count", len(events), "error", err)
		}
	})
	if err != nil {
		return err
	}
	if r.failing.Swap(false) {
		r.opts.Log.Info("events are published again")
	}
	r.published.Add(uint64(len(events)))
	if r.opts.Published != nil {
		for _, e := range events {
			r.opts.Published(e)
		}
	}
	return nil
}

// once asks the publisher once. A panic of its is a failure like any other: it must not end the relay for good. What it
// panicked with is not logged, since that may hold anything.
func (r *Relay) once(ctx context.Context, events []event.Event) (err error) {
	defer func() {
		if recover() != nil {
			r.opts.Log.Error("the publisher panicked", "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: the publisher panicked", ErrNotPublished)
		}
	}()
	return r.publisher.Publish(ctx, events)
}

// patient is a policy that never gives up and pauses 2 s at most, give or take a half.
func patient() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(maxPause*2/3), backoff.WithMaxElapsedTime(0))
}

// linger is ctx that ends d later.
func linger(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		pause(late, d)
		cancel()
	})
	return late, func() { stop(); cancel() }
}

// await waits for d or a Wake; false when ctx ended.
func (r *Relay) await(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-r.wake:
	case <-t.C:
	}
	return true
}

// pause waits for d; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
