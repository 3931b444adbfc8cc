package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"ansim/schema/sqldb"
)

var (
	// errHeld: another relay leads, and its lease runs.
	errHeld = errors.New("another relay leads")
	// errFenced: another relay has taken the lead since; nothing of ours counts any more.
	errFenced = errors.New("another relay took the lead")
)

// lease is the lead for one term.
type lease struct {
	db     *sqldb.DB
	epoch  int64
	length time.Duration

	mu   sync.Mutex
	ends time.Time // by this process's clock, never later than the database has it
}

// lapsed says whether the lease may have run out: the process stood still, or the database could not be asked.
func (l *lease) lapsed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().After(l.ends)
}

// extend notes that the lease was written by a request that began at.
func (l *lease) extend(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = at.Add(l.length)
}

// take begins a term where the last one stopped, with the next epoch, when the lease is free, ran out, or is our own from a
// term that ended badly; errHeld when another relay has it.
func (r *Relay) take(ctx context.Context) (*lease, position, error) {
	if err := r.look(ctx); err != nil {
		return nil, position{}, err
	}
	l := &lease{db: r.db, length: r.opts.Lease}
	var pos position
	began := time.Now()
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO outbox_relay (shard, epoch, holder, leased_until, position, updated_at)
			VALUES (?, 0, '', ?, '', ?) ON CONFLICT DO NOTHING`, shard, sqldb.At(now), sqldb.At(now)); err != nil {
			return err
		}
		var row leaseRow
		if err := tx.Get(ctx, &row, leaseQuery+tx.ForUpdate(), shard); err != nil {
			return err
		}
		if r.heldByOther(row, now) {
			return errHeld
		}
		if pos, err = parsePosition(tx.Dialect(), row.Position); err != nil {
			return err
		}
		if pos, err = r.restored(ctx, tx, pos); err != nil {
			return err
		}
		l.epoch = row.Epoch + 1
		_, err = tx.Exec(ctx, `UPDATE outbox_relay SET epoch = ?, holder = ?, leased_until = ?, position = ?, updated_at = ?
			WHERE shard = ?`, l.epoch, r.holder, sqldb.At(now.Add(l.length)), pos.String(), sqldb.At(now), shard)
		return err
	})
	if err != nil {
		return nil, position{}, fmt.Errorf("take the lead: %w", err)
	}
	l.extend(began)
	return l, pos, nil
}

type leaseRow struct {
	Epoch    int64      `db:"epoch"`
	Holder   string     `db:"holder"`
	Until    sqldb.Time `db:"leased_until"`
	Position string     `db:"position"`
}

const leaseQuery = `SELECT epoch, holder, leased_until, position FROM outbox_relay WHERE shard = ?`

// heldByOther says whether another relay has the lease. One that lasts for longer than anybody takes it (those of other versions
// may be longer than ours) was written before the database's clock was set back: waiting it out would let everything wait. That
// its holder may live does no harm, since the epoch fences it.
func (r *Relay) heldByOther(l leaseRow, now time.Time) bool {
	left := l.Until.Sub(now)
	return l.Holder != r.holder && left > 0 && left <= max(2*r.opts.Lease, time.Minute)
}

// look returns errHeld when another relay has the lease, without a write: relays that only stand by do this all the time.
func (r *Relay) look(ctx context.Context) error {
	err := r.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var row leaseRow
		err = tx.Get(ctx, &row, leaseQuery, shard)
		if err == nil && r.heldByOther(row, now) {
			return errHeld
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil && !errors.Is(err, errHeld) {
		return fmt.Errorf("look at the lease: %w", err)
	}
	return err
}

// renew makes the lease last its full length again; errFenced when another relay has taken the lead.
func (l *lease) renew(ctx context.Context) error {
	began := time.Now()
	err := l.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE outbox_relay SET leased_until = ?, updated_at = ? WHERE shard = ? AND epoch = ?`,
			sqldb.At(now.Add(l.length)), sqldb.At(now), shard, l.epoch)
		if err == nil && n == 0 {
			return errFenced
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	l.extend(began)
	return nil
}

// move stores that everything before pos is published, n events more than before; errFenced when another relay has taken the
// lead, which then goes on from where we had stored. published counts a batch twice when its COMMIT was repeated; it is for
// people to look at.
func (l *lease) move(ctx context.Context, pos position, n int) error {
	err := l.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE outbox_relay SET position = ?, published = published + ? WHERE shard = ? AND epoch = ?`,
			pos.String(), n, shard, l.epoch)
		if err == nil && n == 0 {
			return errFenced
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store the position: %w", err)
	}
	return nil
}

// release lets the lease run out at once if it is still ours, so that another relay need not wait for it.
func (l *lease) release(ctx context.Context) error {
	return l.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE outbox_relay SET leased_until = ?, updated_at = ? WHERE shard = ? AND epoch = ?`,
			sqldb.At(now), sqldb.At(now), shard, l.epoch)
		return err
	})
}
