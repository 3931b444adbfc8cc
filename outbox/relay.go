package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

const (
	// shard names the one relay that there is today.
	shard = "main"
	// busyPoll and idlePoll bound the time between looks at the outbox: short after something came, longer while nothing does.
	busyPoll = 2 * time.Millisecond
	idlePoll = 20 * time.Millisecond
)

// errFenced: another relay leads.
var errFenced = errors.New("another relay leads")

// RelayOptions are the parts of NewRelay that have sensible defaults.
type RelayOptions struct {
	Holder string        // who this is, for people who look at the lease; say host and process
	Lease  time.Duration // how long a leader that says nothing keeps the lead. Default 10 s
	Page   int           // rows that are read and published at once. Default 4000
	Log    *slog.Logger
}

// Relay publishes committed events. Any number may run; one leads.
type Relay struct {
	db        *sqldb.DB
	publisher Publisher
	opts      RelayOptions
	wake      chan struct{}
	leading   atomic.Bool
	published atomic.Uint64
}

// NewRelay makes a relay; Run runs it.
func NewRelay(db *sqldb.DB, p Publisher, opts RelayOptions) *Relay {
	if opts.Lease <= 0 {
		opts.Lease = 10 * time.Second
	}
	if opts.Page <= 0 {
		opts.Page = 4000
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Relay{db: db, publisher: p, opts: opts, wake: make(chan struct{}, 1)}
}

// Wake says that something was committed.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Leading says whether this relay leads.
func (r *Relay) Leading() bool { return r.leading.Load() }

// Published is how many events this relay has published since it was made, repeats included.
func (r *Relay) Published() uint64 { return r.published.Load() }

// Run leads whenever it can, until ctx ends; then it gives the lead back, so that another takes it at once. It returns the
// error of ctx.
func (r *Relay) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		epoch, pos, err := r.lead(ctx)
		switch {
		case err == nil:
			err = r.serve(ctx, epoch, pos)
			r.leading.Store(false)
			r.release(epoch)
			if errors.Is(err, errFenced) {
				r.opts.Log.Warn("the relay lost its lead", "epoch", epoch)
			} else if ctx.Err() == nil {
				r.opts.Log.Error("the relay stumbled; it goes on from its stored position", "error", err)
			}
		case !errors.Is(err, errFenced) && ctx.Err() == nil:
			r.opts.Log.Error("the relay cannot ask for the lead", "error", err)
		}
		pause(ctx, r.opts.Lease/5)
	}
	return ctx.Err()
}

// lead takes the lease when it is free or ran out, with the next epoch; errFenced when another holds it.
func (r *Relay) lead(ctx context.Context) (epoch int64, pos position, err error) {
	err = r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO outbox_relay (shard, epoch, holder, leased_until, position, updated_at)
			VALUES (?, 0, '', ?, '', ?) ON CONFLICT DO NOTHING`, shard, sqldb.At(now), sqldb.At(now)); err != nil {
			return err
		}
		var row struct {
			Epoch    int64      `db:"epoch"`
			Until    sqldb.Time `db:"leased_until"`
			Position string     `db:"position"`
		}
		if err := tx.Get(ctx, &row, `SELECT epoch, leased_until, position FROM outbox_relay WHERE shard = ?`+tx.ForUpdate(), shard); err != nil {
			return err
		}
		if row.Until.After(now) {
			return errFenced
		}
		if pos, err = parsePosition(tx.Dialect(), row.Position); err != nil {
			return err
		}
		epoch = row.Epoch + 1
		_, err = tx.Exec(ctx, `UPDATE outbox_relay SET epoch = ?, holder = ?, leased_until = ?, updated_at = ? WHERE shard = ?`,
			epoch, r.opts.Holder, sqldb.At(now.Add(r.opts.Lease)), sqldb.At(now), shard)
		return err
	})
	if err == nil {
		r.leading.Store(true)
		r.opts.Log.Info("the relay leads", "epoch", epoch)
	}
	return epoch, pos, err
}

// hold extends the lease and, with more published, moves the cursor. errFenced when another has taken the lead since.
func (r *Relay) hold(ctx context.Context, epoch int64, pos *position, more int) error {
	return r.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		until := sqldb.At(now.Add(r.opts.Lease))
		var n int64
		if pos == nil {
			n, err = tx.Exec(ctx, `UPDATE outbox_relay SET leased_until = ?, updated_at = ? WHERE shard = ? AND epoch = ?`,
				until, sqldb.At(now), shard, epoch)
		} else {
			n, err = tx.Exec(ctx, `UPDATE outbox_relay SET leased_until = ?, updated_at = ?, position = ?, published = published + ?
				WHERE shard = ? AND epoch = ?`, until, sqldb.At(now), pos.String(), more, shard, epoch)
		}
		if err == nil && n == 0 {
			return errFenced
		}
		return err
	})
}

// release lets the lease run out at once, if it is still ours.
func (r *Relay) release(epoch int64) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE outbox_relay SET leased_until = ?, updated_at = ? WHERE shard = ? AND epoch = ?`,
			sqldb.At(now), sqldb.At(now), shard, epoch)
		return err
	})
	if err != nil {
		r.opts.Log.Warn("the relay's lease could not be given back; it runs out by itself", "error", err)
	}
}

// serve publishes until the lead is lost or ctx ends.
func (r *Relay) serve(ctx context.Context, epoch int64, pos position) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		r.keep(ctx, cancel, epoch)
	}()
	defer func() { cancel(nil); <-kept }()

	wait := busyPoll
	for ctx.Err() == nil {
		var rs []record
		next := pos
		err := r.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			rs, next, err = read(ctx, tx, pos, r.opts.Page)
			return err
		})
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return fmt.Errorf("read the outbox: %w", err)
		}
		if len(rs) == 0 {
			paging := pos.to != ""
			pos = next // nothing lies between; it need not be stored
			if !paging {
				wait = min(wait*2, idlePoll)
				r.await(ctx, wait)
			}
			continue
		}
		wait = busyPoll
		if err := r.publish(ctx, eventsOf(rs)); err != nil {
			break
		}
		// After the events are stored, never before: a crash between the two repeats them, and loses none. A stop does not
		// come between them.
		if err := r.hold(context.WithoutCancel(ctx), epoch, &next, len(rs)); err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		pos = next
	}
	return context.Cause(ctx)
}

// keep renews the lease while a batch is read or published, however long that takes.
func (r *Relay) keep(ctx context.Context, cancel context.CancelCauseFunc, epoch int64) {
	for {
		pause(ctx, r.opts.Lease/3)
		if ctx.Err() != nil {
			return
		}
		err := r.hold(ctx, epoch, nil, 0)
		if errors.Is(err, errFenced) {
			cancel(errFenced)
			return
		}
		if err != nil && ctx.Err() == nil {
			r.opts.Log.Warn("the relay cannot renew its lease", "error", err)
		}
	}
}

// publish hands events to the publisher until it takes them or ctx ends. There is no last try: nothing may be left out, and
// what follows waits, so that order is kept.
func (r *Relay) publish(ctx context.Context, events []event.Event) error {
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	away := false
	err := backoff.RetryNotify(func() error { return r.publisher.Publish(ctx, events) }, backoff.WithContext(policy, ctx),
		func(err error, _ time.Duration) {
			if !away {
				away = true
				r.opts.Log.Error("events cannot be published; the relay stays where it is and tries on", "count", len(events), "error", err)
			}
		})
	if err != nil {
		return err
	}
	if away {
		r.opts.Log.Info("events are published again")
	}
	r.published.Add(uint64(len(events)))
	return nil
}

// await waits for d, a Wake, or the end of ctx.
func (r *Relay) await(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-t.C:
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
