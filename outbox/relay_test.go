package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// same demands that got is want, event by event.
func same(t *testing.T, got, want []event.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events were published, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].ID != want[i].ID {
			t.Fatalf("event %d is not the one that was appended there", i)
		}
	}
}

func position(t *testing.T, db *sqldb.DB) (epoch int64, pos string) {
	t.Helper()
	row := db.Pool().QueryRow(`SELECT epoch, position FROM outbox_relay`)
	if err := row.Scan(&epoch, &pos); err != nil {
		t.Fatal(err)
	}
	return epoch, pos
}

// A relay that stops in the middle of a backlog goes on there, while people go on booking.
func TestBacklogGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
		db := open(t, sqldb.Options{Writers: writers + 8})
		th := newThings(t, db, 40)
		writeAll(t, db, th, many, func() {})
		backlog := th.total(t, db)
		var held *openTx
		low := booked() // has a lower id than much of what is published before it
		if db.Dialect() == sqldb.Postgres {
			held = hold(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, []event.Event{low}) })
		}
		writeAll(t, db, th, some, func() {})

		l := newLog()
		third := make(chan struct{})
		l.before = func(ctx context.Context, _ []event.Event) error {
			if l.calls == 3 { // let the test stop the relay while the fourth page is under way
				close(third)
				<-ctx.Done()
			}
			return nil
		}
		stop := run(t, outbox.NewRelay(db, l, outbox.RelayOptions{Page: 100}))
		<-third
		stop()
		if n := len(l.all()); n != 400 || backlog <= 400 {
			t.Fatalf("%d of %d events are published, want four pages of 100", n, backlog)
		}
		if _, pos := position(t, db); (strings.Count(pos, "|") == 2) != (db.Dialect() == sqldb.Postgres) {
			t.Errorf("the stored position is %q", pos)
		}

		if held != nil {
			held.end(true) // it commits between two pages of a backlog that it is no part of
		}
		l.before = nil
		relay := outbox.NewRelay(db, l, outbox.RelayOptions{Page: 100})
		run(t, relay)
		writeAll(t, db, th, many, relay.Wake)
		want := th.total(t, db)
		if held != nil {
			want++
		}
		events := l.awaitCount(t, want)
		th.check(t, db, events)
		if len(events) != want {
			t.Errorf("%d events were published, want %d", len(events), want)
		}
	})
}

// A relay that stands still past its lease loses the lead, and can then neither move the position nor go on publishing.
func TestPausedRelayIsFenced(t *testing.T) {
	t.Parallel()
	dbtest.EachAt(t, time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC), func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		const lease = time.Hour // renewed every 20 minutes, which no test lasts
		first := appendAll(t, db, 10)
		paused, resume := make(chan struct{}), make(chan struct{})
		slow, other := newLog(), newLog()
		slow.before = func(context.Context, []event.Event) error {
			if slow.calls == 0 {
				close(paused)
				<-resume
			}
			return nil
		}
		a := outbox.NewRelay(db, slow, outbox.RelayOptions{Holder: "a", Lease: lease})
		b := outbox.NewRelay(db, other, outbox.RelayOptions{Holder: "b", Lease: lease})
		run(t, a)
		<-paused
		stopB := run(t, b)
		if a.Leading() == b.Leading() {
			t.Error("not exactly one relay leads")
		}

		c.Add(2 * lease) // the process of a stands still; its lease runs out
		same(t, other.awaitCount(t, 10), first)
		second := appendAll(t, db, 10)
		b.Wake()
		other.awaitCount(t, 20)
		epoch, _ := position(t, db)

		close(resume) // its publish succeeds, which repeats the first ten
		slow.awaitCount(t, 10)
		third := appendAll(t, db, 10)
		a.Wake()
		b.Wake()
		same(t, other.awaitCount(t, 30), append(append(first, second...), third...))
		if e, _ := position(t, db); e != epoch || epoch != 2 { // before b gives the lead back: a takes it with the next epoch
			t.Errorf("the epoch is %d, was %d, want 2", e, epoch)
		}
		stopB()
		// b gave the lead back, so a gets it, and finds nothing left to do but what is new.
		fourth := appendAll(t, db, 1)
		a.Wake()
		got := slow.awaitCount(t, 11)
		same(t, got[10:], fourth)
		if !a.Leading() || b.Leading() {
			t.Error("the relay that was paused does not lead again")
		}
	})
}

// Whatever the publisher does, the batch stays, and what follows waits behind it.
func TestPublisherThatFailsIsAskedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		want := appendAll(t, db, 30)
		l := newLog()
		tries := 0
		l.before = func(context.Context, []event.Event) error {
			switch tries++; tries {
			case 1, 2:
				return outbox.ErrNotPublished
			case 3:
				panic("the publisher is broken")
			case 4:
				return errors.New("something that nobody knows")
			}
			return nil
		}
		relay := outbox.NewRelay(db, l, outbox.RelayOptions{Page: 10})
		run(t, relay)
		want = append(want, appendAll(t, db, 5)...)
		same(t, l.awaitCount(t, 35), want)
		if relay.Failures() != 4 {
			t.Errorf("%d failures were counted, want 4", relay.Failures())
		}
		appendAll(t, db, 1)
		l.awaitCount(t, 36)
		if relay.Failing() {
			t.Error("the relay says that it fails, after it went on")
		}
	})
}

// However small the batches, they do not follow each other faster than the pace.
func TestSmallBatchesKeepThePace(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const pace = 50 * time.Millisecond
		l := newLog()
		began := time.Now()
		relay := outbox.NewRelay(db, l, outbox.RelayOptions{Pace: pace})
		run(t, relay)
		const batches = 4
		for committed := 0; l.count() < batches; committed++ {
			if committed == 100_000 {
				t.Fatal("nothing is published any more")
			}
			appendAll(t, db, 1)
			relay.Wake()
		}
		if took := time.Since(began); took < (batches-1)*pace {
			t.Errorf("%d batches were published within %s, faster than one in %s", batches, took, pace)
		}
	})
}

// What is more than a page does not wait for the pace, and neither does a stop.
func TestABacklogDoesNotWaitForThePace(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		want := appendAll(t, db, 25)
		l := newLog()
		stop := run(t, outbox.NewRelay(db, l, outbox.RelayOptions{Page: 10, Pace: 24 * time.Hour}))
		same(t, l.awaitCount(t, 25), want)
		stop()
	})
}

// A lease that was written before the clock was set back by hours is not waited for.
func TestALeaseOfAnotherTimeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dbtest.EachAt(t, time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC), func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		const lease = time.Hour
		want := appendAll(t, db, 3)
		paused, resume := make(chan struct{}), make(chan struct{})
		slow, other := newLog(), newLog()
		slow.before = func(context.Context, []event.Event) error {
			if slow.calls == 0 {
				close(paused)
				<-resume
			}
			return nil
		}
		run(t, outbox.NewRelay(db, slow, outbox.RelayOptions{Holder: "a", Lease: lease}))
		t.Cleanup(func() { close(resume) }) // before that relay is stopped
		<-paused
		c.Add(-6 * time.Hour)
		run(t, outbox.NewRelay(db, other, outbox.RelayOptions{Holder: "b", Lease: lease}))
		same(t, other.awaitCount(t, 3), want)
	})
}

// A relay that stops gives its lead back: another need not wait for the lease to run out.
func TestStoppedRelayIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog()
		options := outbox.RelayOptions{Lease: 24 * time.Hour}
		stop := run(t, outbox.NewRelay(db, l, options))
		want := appendAll(t, db, 3)
		l.awaitCount(t, 3)
		run(t, outbox.NewRelay(db, l, options))
		stop()
		want = append(want, appendAll(t, db, 3)...)
		same(t, l.awaitCount(t, 6), want)
	})
}

// A database that was filled from a dump of another has transaction ids in its rows that are yet to come.
func TestRestoredDumpIsPublishedAgain(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	l := newLog()
	stop := run(t, outbox.NewRelay(db, l, outbox.RelayOptions{}))
	want := appendAll(t, db, 4)
	l.awaitCount(t, 4)
	stop()
	for _, q := range []string{
		`UPDATE outbox SET txid = CAST('900000000' AS xid8) WHERE id > 2`,
		`UPDATE outbox_relay SET position = '900000000:900000000:'`,
	} {
		if _, err := db.Pool().Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	run(t, outbox.NewRelay(db, l, outbox.RelayOptions{}))
	same(t, l.awaitCount(t, 8)[4:], want)
	after := appendAll(t, db, 1)
	same(t, l.awaitCount(t, 9)[8:], after)
}
