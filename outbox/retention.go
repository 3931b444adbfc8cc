package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ansim/schema/sqldb"
)

// pruneAtOnce is how many rows one transaction of Prune looks at.
const pruneAtOnce = 2000

// Pruned is up to when events may have been deleted; the zero time when none ever was. The outbox has all that are younger.
func Pruned(ctx context.Context, tx *sqldb.Tx) (time.Time, error) {
	var t sqldb.Time
	err := tx.Get(ctx, &t, `SELECT deleted_before FROM outbox_retention WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the outbox's retention: %w", err)
	}
	return t.Time, nil
}

// Pruning deletes events that are past their time, from the oldest on, in short transactions that wait for nobody.
type Pruning struct {
	DB     *sqldb.DB
	Before time.Time // events made at or after this stay
	// Swept reads up to where every event is known to have its messages, as a position of [Settled]; what stands behind that
	// stays, and so does what the relay has not published.
	Swept func(ctx context.Context, tx *sqldb.Tx) (string, error)

	after int64 // the last id that was looked at
}

// Step deletes one page. It returns how many events that were, and whether there may be more.
func (p *Pruning) Step(ctx context.Context) (n int64, more bool, err error) {
	var last int64
	err = p.DB.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, more, last = 0, false, p.after
		past, args, err := p.past(ctx, tx)
		if err != nil || past == "" {
			return err
		}
		var page struct {
			Last  *int64 `db:"last"`
			Count int64  `db:"count"`
		}
		if err := tx.Get(ctx, &page, `SELECT MAX(id) AS last, COUNT(*) AS count FROM
			(SELECT id FROM outbox WHERE id > ? ORDER BY id LIMIT ?) o`, tx.Unplanned(p.after, pruneAtOnce)...); err != nil || page.Last == nil {
			return err
		}
		last = *page.Last
		n, err = tx.Exec(ctx, `DELETE FROM outbox AS o WHERE o.id > ? AND o.id <= ? AND `+past,
			append([]any{p.after, last}, args...)...)
		if err != nil || n == 0 {
			return err
		}
		// What stays ends the walk: what follows is younger.
		more = n == page.Count && page.Count == pruneAtOnce
		_, err = tx.Exec(ctx, `INSERT INTO outbox_retention (id, deleted_before) VALUES (1, ?) ON CONFLICT (id) DO UPDATE
			SET deleted_before = excluded.deleted_before WHERE outbox_retention.deleted_before < excluded.deleted_before`, sqldb.At(p.Before))
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("delete old events: %w", err)
	}
	p.after = last
	return n, more, nil
}

// Count is how many events Step would delete in the end.
func (p *Pruning) Count(ctx context.Context) (n int64, err error) {
	err = p.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n = 0
		past, args, err := p.past(ctx, tx)
		if err != nil || past == "" {
			return err
		}
		return tx.Get(ctx, &n, `SELECT COUNT(*) FROM outbox AS o WHERE `+past, tx.Unplanned(args...)...)
	})
	if err != nil {
		return 0, fmt.Errorf("count old events: %w", err)
	}
	return n, nil
}

// past is the condition for events o that nobody needs any more, with its parameters; "" when there can be none. On PostgreSQL
// the relay has published all that was over in the snapshot of its position; of a backlog that goes out in pages it may have published
// more, which the next time shows. To ask for what is below the snapshot's oldest open transaction would be cheaper, and leave what lies above
// one for as long as nothing new is published.
func (p *Pruning) past(ctx context.Context, tx *sqldb.Tx) (string, []any, error) {
	var stored string
	err := tx.Get(ctx, &stored, `SELECT position FROM outbox_relay WHERE shard = ?`, shard)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the relay's position: %w", err)
	}
	relay, err := parsePosition(tx.Dialect(), stored)
	if err != nil {
		return "", nil, err
	}
	swept, err := p.Swept(ctx, tx)
	if err != nil || swept == "" {
		return "", nil, err
	}
	if tx.Dialect() == sqldb.SQLite {
		id, err := strconv.ParseInt(swept, 10, 64)
		if err != nil {
			return "", nil, fmt.Errorf("the sweeper's position %q is not an id", swept)
		}
		return `o.created_at < ? AND o.id <= ?`, []any{sqldb.At(p.Before), min(relay.after, id)}, nil
	}
	txid, id, err := parseSettled(swept)
	if err != nil {
		return "", nil, err
	}
	return `o.created_at < ? AND pg_visible_in_snapshot(o.txid, CAST(? AS pg_snapshot))
		AND (o.txid, o.id) <= (CAST(? AS xid8), CAST(? AS bigint))`, []any{sqldb.At(p.Before), relay.from, txid, id}, nil
}
