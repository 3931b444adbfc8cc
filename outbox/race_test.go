package outbox_test

import (
	"context"
	"sync"
	"testing"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

const (
	writers = 16
	many    = 60 // changes of each writer
	some    = 16 // that are done in seconds on the busiest machine, while a transaction is held open
)

// writeAll lets all writers change things so many times, every eighth time rolling back, and returns when they are done.
func writeAll(t *testing.T, db *sqldb.DB, th things, changes int, wake func()) {
	t.Helper()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for i := range changes {
				if err := th.change(t.Context(), db, i%8 == 7); err != nil {
					t.Errorf("change: %v", err)
					return
				}
				wake()
			}
		})
	}
	all.Wait()
}

// The race that a cursor by id loses: many writers, whose ids are taken in one order and committed in another.
func TestNothingIsMissedDoubledOrInverted(t *testing.T) {
	t.Parallel()
	dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
		db := open(t, sqldb.Options{Writers: writers + 8})
		th := newThings(t, db, 40)
		l := newLog()
		relay := outbox.NewRelay(db, l, outbox.RelayOptions{Page: 50})
		run(t, relay)
		writeAll(t, db, th, many, relay.Wake)
		th.check(t, db, l.awaitCount(t, th.total(t, db)))
	})
}

// An open transaction, be it for seconds or hours, neither holds up what others commit nor is passed over itself.
func TestOpenTransactionsNeitherStallNorAreMissed(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{Writers: writers + 8})
	th := newThings(t, db, 40)
	l := newLog()
	relay := outbox.NewRelay(db, l, outbox.RelayOptions{Page: 50})
	run(t, relay)

	unrelated := hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO thing (id, version) VALUES ('unrelated', 0)`)
		return err
	})
	early, never := booked(), booked() // they take the lowest ids, and end last
	late := hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, []event.Event{early}) })
	undone := hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, []event.Event{never}) })

	writeAll(t, db, th, some, relay.Wake)
	n := th.total(t, db)
	th.check(t, db, l.awaitCount(t, n)) // while all three are open: no stall

	late.end(true)
	undone.end(false)
	events := l.awaitCount(t, n+1)
	if events[n].ID != early.ID {
		t.Errorf("after the open transaction committed, another event came")
	}
	after := appendAll(t, db, 1)[0]
	if events = l.awaitCount(t, n+2); events[n+1].ID != after.ID || len(events) != n+2 {
		t.Errorf("the event after it was not the next, or something rolled back was published")
	}
	unrelated.end(true)
}

// A transaction that commits late brings a backlog of low ids; what stands between those was published long ago.
func TestLateBacklogRepeatsNothing(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	l := newLog()
	relay := outbox.NewRelay(db, l, outbox.RelayOptions{Page: 10})
	run(t, relay)
	late := make([]event.Event, 25)
	for i := range late {
		late[i] = booked()
	}
	open := hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, late) })
	want := appendAll(t, db, 35)
	l.awaitCount(t, 35)
	open.end(true)
	l.awaitCount(t, 60)
	last := appendAll(t, db, 1)
	same(t, l.awaitCount(t, 61), append(append(want, late...), last...))
}
