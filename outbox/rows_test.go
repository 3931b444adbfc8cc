package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// What is appended comes back as it was, in the order of the slice, however many there are.
func TestAppendKeepsOrderAndContent(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const n = 5000 // more than one SQLite statement has parameters for
		at := time.Date(2021, 7, 19, 20, 0, 0, 123456000, time.UTC)
		want := make([]event.Event, n)
		for i := range want {
			want[i] = event.Event{ID: uuid.NewString(), Type: event.Cancelled, ReservationID: uuid.NewString(), Version: 1 + i,
				Recipients: []event.Recipient{event.Resident, event.Booker}[:1+i%2], Resend: i % 3, Time: at,
				Traceparent: `00-"quoted\"-01`}
		}
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := outbox.Append(ctx, tx, nil); err != nil {
				return err
			}
			return outbox.Append(ctx, tx, want)
		})
		if err != nil {
			t.Fatal(err)
		}
		l := newLog()
		run(t, outbox.NewRelay(db, l, outbox.RelayOptions{Page: 700}))
		if d := cmp.Diff(want, l.awaitCount(t, n)); d != "" {
			t.Error(d)
		}
	})
}

func settled(t *testing.T, db *sqldb.DB, after string, olderThan time.Time, limit int) ([]event.Event, string) {
	t.Helper()
	var events []event.Event
	var next string
	err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		events, next, err = outbox.Settled(ctx, tx, after, olderThan, limit)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, next
}

// eachAlone is dbtest.Each where nobody else's transactions are open: what is settled waits for those of other databases too.
func eachAlone(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, dbtest.SQLite(t, sqldb.Options{})) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); fn(t, dbtest.NewServer(t).Open(t, sqldb.Options{})) })
}

func TestSettledPagesAndStopsAtYoungRows(t *testing.T) {
	t.Parallel()
	eachAlone(t, func(t *testing.T, db *sqldb.DB) {
		old := appendAll(t, db, 25)
		limit := time.Now().Add(time.Minute)
		young := booked()
		young.Time = limit
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, []event.Event{young}) })
		if err != nil {
			t.Fatal(err)
		}
		behindYoung := appendAll(t, db, 1)
		var got []event.Event
		pos := ""
		for {
			events, next := settled(t, db, pos, limit, 10)
			if len(events) > 10 {
				t.Fatalf("%d events, more than asked for", len(events))
			}
			if len(events) == 0 {
				if next != pos {
					t.Errorf("the position moved without an event, from %q to %q", pos, next)
				}
				break
			}
			got, pos = append(got, events...), next
		}
		same(t, got, old)
		rest, _ := settled(t, db, pos, limit.Add(time.Second), 10)
		same(t, rest, []event.Event{young, behindYoung[0]})
	})
}

// A transaction that is open may hold a lower id than a committed one, whichever of the two began first.
func TestSettledPassesNoOpenTransaction(t *testing.T) {
	t.Parallel()
	db := dbtest.NewServer(t).Open(t, sqldb.Options{})
	th := newThings(t, db, 2)
	later := time.Now().Add(time.Hour)
	touch := func(i int) func(context.Context, *sqldb.Tx) error {
		return func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE thing SET version = version + 1 WHERE id = ?`, th.ids[i]) // takes a transaction id
			return err
		}
	}
	early, low, high, behind := booked(), booked(), booked(), booked()

	// u begins first, t takes the lower id, u commits the higher one.
	goOn, appended := make(chan struct{}), make(chan error, 1)
	uBegan := make(chan struct{})
	go func() {
		appended <- db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := touch(0)(ctx, tx); err != nil {
				return err
			}
			close(uBegan)
			<-goOn
			return outbox.Append(ctx, tx, []event.Event{high})
		})
	}()
	<-uBegan
	open := hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := touch(1)(ctx, tx); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, []event.Event{low})
	})
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, []event.Event{behind}) })
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := settled(t, db, "", later, 10); len(got) != 0 {
		t.Errorf("%d events are settled behind two open transactions", len(got))
	}
	close(goOn)
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	first, pos := settled(t, db, "", later, 10)
	same(t, first, []event.Event{high})
	open.end(true)
	rest, pos := settled(t, db, pos, later, 10)
	same(t, rest, []event.Event{low, behind})

	// By pages of one, as a position is stored after each.
	var paged []event.Event
	for at := ""; len(paged) < 4; {
		page, next := settled(t, db, at, later, 1)
		if len(page) == 0 {
			break
		}
		paged, at = append(paged, page...), next
	}
	same(t, paged, []event.Event{high, low, behind})

	// A position from before a dump was restored: the sweep begins again.
	again, _ := settled(t, db, "900000000:3", later, 10)
	if len(again) != 3 {
		t.Errorf("%d events are settled behind a position of another database, want all 3", len(again))
	}
	err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, []event.Event{early}) })
	if err != nil {
		t.Fatal(err)
	}
	last, _ := settled(t, db, pos, later, 10)
	same(t, last, []event.Event{early})
}

func TestBacklogIsCounted(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		check := func(rows int64, oldest time.Time) {
			t.Helper()
			n, at, err := outbox.Backlog(t.Context(), db)
			if err != nil || n != rows || !at.Equal(sqldb.At(oldest).Time) && !oldest.IsZero() || oldest.IsZero() != at.IsZero() {
				t.Errorf("the backlog is %d since %v, error %v; want %d since %v", n, at, err, rows, oldest)
			}
		}
		check(0, time.Time{})
		events := appendAll(t, db, 10)
		check(10, events[0].Time)

		l := newLog()
		last := make(chan struct{})
		l.before = func(ctx context.Context, _ []event.Event) error {
			if l.calls == 2 {
				close(last)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		stop := run(t, outbox.NewRelay(db, l, outbox.RelayOptions{Page: 3}))
		<-last // two pages are published, and their positions stored; the third is not
		check(4, events[6].Time)
		stop()
		check(4, events[6].Time)
		l.before = nil
		stop = run(t, outbox.NewRelay(db, l, outbox.RelayOptions{Page: 3}))
		l.awaitCount(t, 10)
		stop()
		check(0, time.Time{})
	})
}
