package outbox_test

import (
	"context"
	"testing"
	"time"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// aged appends n events that were made age ago, each in a transaction of its own.
func aged(t *testing.T, db *sqldb.DB, n int, age time.Duration) {
	t.Helper()
	for range n {
		e := booked()
		e.Time = time.Now().Add(-age)
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return outbox.Append(ctx, tx, []event.Event{e})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Only what is old, published, and known to have its messages is deleted, and everything else goes on as if it were there.
func TestPruning(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	eachAlone(t, func(t *testing.T, db *sqldb.DB) {
		left := func() (n int) {
			t.Helper()
			if err := db.Peek(t.Context(), &n, `SELECT COUNT(*) FROM outbox`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		swept := ""
		pruned := func() (total int64) {
			t.Helper()
			p := &outbox.Pruning{DB: db, Before: time.Now().Add(-30 * day),
				Swept: func(context.Context, *sqldb.Tx) (string, error) { return swept, nil }}
			would, err := p.Count(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for more := true; more; {
				var n int64
				if n, more, err = p.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				total += n
			}
			if total != would {
				t.Errorf("%d were deleted, and %d counted before", total, would)
			}
			return total
		}
		horizon := func() (at time.Time) {
			t.Helper()
			if err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
				at, err = outbox.Pruned(ctx, tx)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return at
		}
		aged(t, db, 5, 40*day)
		if n := pruned(); n != 0 {
			t.Errorf("%d were deleted before any relay ran", n)
		}
		l := newLog()
		stop := run(t, outbox.NewRelay(db, l, outbox.RelayOptions{}))
		l.awaitCount(t, 5)
		stop()
		if n := pruned(); n != 0 {
			t.Errorf("%d were deleted that nobody swept", n)
		}
		_, swept = settled(t, db, "", time.Now(), 3)
		aged(t, db, 2, 40*day) // not published
		aged(t, db, 4, time.Hour)
		if n := pruned(); n != 3 || left() != 8 {
			t.Errorf("%d of the 3 that were swept are deleted, %d are left", n, left())
		}
		if at := horizon(); time.Since(at) < 30*day || time.Since(at) > 31*day {
			t.Errorf("deleted before %s", at)
		}
		_, swept = settled(t, db, swept, time.Now(), 100)
		if n := pruned(); n != 2 {
			t.Errorf("%d of the 2 that are published are deleted", n)
		}
		stop = run(t, outbox.NewRelay(db, l, outbox.RelayOptions{}))
		l.awaitCount(t, 11)
		appendAll(t, db, 3)
		l.awaitCount(t, 14)
		stop()
		if n := pruned(); n != 2 || left() != 7 {
			t.Errorf("%d of the last 2 old ones are deleted, %d are left", n, left())
		}
		if es, _ := settled(t, db, swept, time.Now().Add(time.Hour), 100); len(es) != 3 {
			t.Errorf("%d events stand behind what was swept, want 3", len(es))
		}
	})
}

// What was published while an older transaction was open, perhaps another program's, is deleted as well when its time has come, though
// nothing is published after it.
func TestPruningWhileSomebodyElseWasBusy(t *testing.T) {
	t.Parallel()
	db := dbtest.NewServer(t).Open(t, sqldb.Options{})
	busy := hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_current_xact_id()`)
		return err
	})
	aged(t, db, 5, 40*24*time.Hour)
	l := newLog()
	stop := run(t, outbox.NewRelay(db, l, outbox.RelayOptions{}))
	l.awaitCount(t, 5)
	stop()
	busy.end(true)
	_, swept := settled(t, db, "", time.Now(), 100)
	p := &outbox.Pruning{DB: db, Before: time.Now().Add(-30 * 24 * time.Hour),
		Swept: func(context.Context, *sqldb.Tx) (string, error) { return swept, nil }}
	if n, _, err := p.Step(t.Context()); err != nil || n != 5 {
		t.Errorf("%d of 5 are deleted, %v", n, err)
	}
}
