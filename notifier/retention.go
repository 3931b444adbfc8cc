package notifier

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ansim/outbox"
	"ansim/schema/sqldb"
)

// pruneAtOnce is how many messages one transaction of Prune looks at.
const pruneAtOnce = 1000

// Pruned is up to when an appointment must have begun for its texts to have been deleted; the zero time when none ever was.
func Pruned(ctx context.Context, tx *sqldb.Tx) (time.Time, error) {
	var t sqldb.Time
	err := tx.Get(ctx, &t, `SELECT deleted_before FROM message_retention WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the retention of texts: %w", err)
	}
	return t.Time, nil
}

// Swept is up to where every event is known to have its messages, as a position of outbox.Settled.
func Swept(ctx context.Context, tx *sqldb.Tx) (position string, err error) {
	err = tx.Get(ctx, &position, `SELECT position FROM sweeper WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return position, wrapped("read the sweeper's position", err)
}

// Pruning deletes messages that are past their time, with their attempts and receipts, in short transactions that wait for
// nobody. A message is past its time when its reservation's appointment began before Before, nothing has changed of it since
// Before, nothing is due for it (that somebody should have decided about it does not count any more), and its event is gone from
// the outbox: else that would look as if it never had become a message.
type Pruning struct {
	DB        *sqldb.DB
	Directory Directory
	Before    time.Time

	after string // the last message that was looked at
}

// Step deals with one page of messages, in the order of their ids, which is that of their making. It returns how many it deleted,
// and whether there may be more.
func (p *Pruning) Step(ctx context.Context) (n int64, more bool, err error) {
	var last string
	err = p.DB.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var past []string
		n = 0
		if past, last, more, err = p.page(ctx, tx, true); err != nil || len(past) == 0 {
			return err
		}
		n = int64(len(past))
		if _, err := tx.Exec(ctx, `INSERT INTO message_retention (id, deleted_before) VALUES (1, ?) ON CONFLICT (id) DO UPDATE
			SET deleted_before = excluded.deleted_before WHERE message_retention.deleted_before < excluded.deleted_before`,
			sqldb.At(p.Before)); err != nil {
			return err
		}
		rows := sqldb.NewRows("gone", sqldb.Column{Name: "gone_id", Type: sqldb.UUID})
		for _, id := range past {
			rows.Add(id)
		}
		src, args := tx.Source(rows)
		for _, statement := range []string{
			`DELETE FROM receipt WHERE attempt_token IN (SELECT a.token FROM attempt a JOIN gone ON gone.gone_id = a.message_id)`,
			`DELETE FROM provider_text WHERE provider_sid IN (SELECT a.provider_sid FROM attempt a JOIN gone ON gone.gone_id = a.message_id)`,
			`DELETE FROM attempt WHERE message_id IN (SELECT gone_id FROM gone)`,
			`DELETE FROM message_queue WHERE message_id IN (SELECT gone_id FROM gone)`,
			`DELETE FROM message WHERE id IN (SELECT gone_id FROM gone)`,
		} {
			if _, err := tx.Exec(ctx, "WITH "+src+" "+statement, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("delete old texts: %w", err)
	}
	p.after = last
	return n, more, nil
}

// Count is how many messages Step would delete in the end, if the outbox's retention had been at work before.
func (p *Pruning) Count(ctx context.Context) (n int64, err error) {
	walk := *p
	for more := true; more; {
		err := p.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			past, last, further, err := walk.page(ctx, tx, false)
			n, walk.after, more = n+int64(len(past)), last, further
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("count old texts: %w", err)
		}
	}
	return n, nil
}

// page finds those of the next page that are past their time. With locked they are ours, and their events are gone.
func (p *Pruning) page(ctx context.Context, tx *sqldb.Tx, locked bool) (past []string, last string, more bool, err error) {
	after := p.after
	if after == "" {
		after = firstMessage
	}
	var rows []struct {
		ID          string     `db:"id"`
		EventID     string     `db:"event_id"`
		Reservation string     `db:"reservation_id"`
		CreatedAt   sqldb.Time `db:"created_at"`
		Quiet       bool       `db:"quiet"`
	}
	lock := ""
	if locked {
		lock = tx.ForUpdateSkipLockedOf("m")
	}
	if err := tx.Select(ctx, &rows, `SELECT m.id, m.event_id, m.reservation_id, m.created_at, m.updated_at < ? AND NOT EXISTS (
			SELECT 1 FROM message_queue q WHERE q.message_id = m.id AND q.job <> 'person') AS quiet
		FROM message m WHERE m.id > ? ORDER BY m.id LIMIT ?`+lock, tx.Unplanned(sqldb.At(p.Before), after, pruneAtOnce)...); err != nil {
		return nil, "", false, err
	}
	last = after
	var events, reservations []string
	for _, r := range rows {
		last = r.ID
		if r.Quiet {
			events, reservations = append(events, r.EventID), append(reservations, r.Reservation)
		}
	}
	// What is younger than Before is not past its time, whatever is behind it.
	more = len(rows) > 0 && rows[len(rows)-1].CreatedAt.Before(p.Before)
	if len(reservations) == 0 {
		return nil, last, more, nil
	}
	written := map[string]bool{}
	if locked {
		if written, err = outbox.Written(ctx, tx, events); err != nil {
			return nil, "", false, err
		}
	}
	appointments, err := p.Directory(ctx, tx, reservations, false)
	if err != nil {
		return nil, "", false, err
	}
	for _, r := range rows {
		a, known := appointments[r.Reservation]
		if r.Quiet && known && a.StartsAt.Before(p.Before) && !written[r.EventID] {
			past = append(past, r.ID)
		}
	}
	return past, last, more, nil
}
