package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// patience is how long a test waits for what must happen; nothing that passes takes near as long.
const patience = 60 * time.Second

// log is a Publisher that keeps what it is given, and calls before, if any, ahead of each call.
type log struct {
	before func(ctx context.Context, events []event.Event) error
	mu     sync.Mutex
	events []event.Event
	calls  int
	grew   chan struct{} // closed and renewed whenever events grows
}

func newLog() *log { return &log{grew: make(chan struct{})} }

func (l *log) Publish(ctx context.Context, events []event.Event) error {
	if l.before != nil {
		if err := l.before(ctx, events); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.events = append(l.events, events...)
	close(l.grew)
	l.grew = make(chan struct{})
	return nil
}

// count is how many batches were published.
func (l *log) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func (l *log) all() []event.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// await waits until the log satisfies ok.
func (l *log) await(t *testing.T, what string, ok func([]event.Event) bool) []event.Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		events, grew := slices.Clone(l.events), l.grew
		l.mu.Unlock()
		if ok(events) {
			return events
		}
		select {
		case <-grew:
		case <-deadline:
			t.Fatalf("waited %s for %s; %d events are published", patience, what, len(events))
		}
	}
}

func (l *log) awaitCount(t *testing.T, n int) []event.Event {
	t.Helper()
	return l.await(t, fmt.Sprintf("%d events", n), func(es []event.Event) bool { return len(es) >= n })
}

// run runs a relay until stop is called or the test ends; stop returns when it has ended.
func run(t *testing.T, r *outbox.Relay) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the relay ended with %v", err)
		}
	}()
	stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the relay does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// booked is a new event of the first version of a new reservation.
func booked() event.Event {
	return event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: event.Booked, ReservationID: uuid.NewString(), Version: 1,
		Recipients: []event.Recipient{event.Resident}, Time: time.Now()}
}

// appendAll commits n events in one transaction.
func appendAll(t testing.TB, db *sqldb.DB, n int) []event.Event {
	t.Helper()
	events := make([]event.Event, n)
	for i := range events {
		events[i] = booked()
	}
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, events) }); err != nil {
		t.Fatal(err)
	}
	return events
}

// openTx is a transaction that stays open until end.
type openTx struct {
	t      *testing.T
	commit chan bool
	done   chan error
}

// hold runs fn in a transaction and leaves that open, as one that is busy with something else is: the server, which undoes what stands
// still for ten seconds, is told not to mind. What goes on beside it has the half minute that a transaction may take.
func hold(t *testing.T, db *sqldb.DB, fn func(ctx context.Context, tx *sqldb.Tx) error) *openTx {
	t.Helper()
	o := &openTx{t: t, commit: make(chan bool, 1), done: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		o.done <- db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
				return err
			}
			if err := fn(ctx, tx); err != nil {
				return err
			}
			close(ready)
			if !<-o.commit {
				return errUndo
			}
			return nil
		})
	}()
	select {
	case <-ready:
	case err := <-o.done:
		t.Fatalf("open a transaction: %v", err)
	}
	t.Cleanup(func() {
		select {
		case o.commit <- false:
		default:
		}
	})
	return o
}

var errUndo = errors.New("undo")

// end commits the transaction, or undoes it.
func (o *openTx) end(commit bool) {
	o.t.Helper()
	o.commit <- commit
	if err := <-o.done; err != nil && (commit || !errors.Is(err, errUndo)) {
		o.t.Fatal(err)
	}
}

// things are business rows with versions, which writers lock before they append.
type things struct{ ids []string }

func newThings(t *testing.T, db *sqldb.DB, n int) things {
	t.Helper()
	if _, err := db.Pool().Exec(`CREATE TABLE thing (id text NOT NULL PRIMARY KEY, version integer NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	var th things
	for range n {
		th.ids = append(th.ids, uuid.NewString())
	}
	slices.Sort(th.ids)
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, id := range th.ids {
			if _, err := tx.Exec(ctx, `INSERT INTO thing (id, version) VALUES (?, 0)`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return th
}

// change raises the version of one to three things, in the order of their ids, with an event for each; undo rolls it back.
func (th things) change(ctx context.Context, db *sqldb.DB, undo bool) error {
	var picked []string
	for _, i := range rand.Perm(len(th.ids))[:1+rand.IntN(3)] {
		picked = append(picked, th.ids[i])
	}
	slices.Sort(picked)
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var events []event.Event
		for _, id := range picked {
			e := booked()
			e.ReservationID, e.Type = id, event.Changed
			if err := tx.Get(ctx, &e.Version, `SELECT version + 1 FROM thing WHERE id = ?`+tx.ForUpdate(), id); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE thing SET version = ? WHERE id = ?`, e.Version, id); err != nil {
				return err
			}
			events = append(events, e)
		}
		if err := outbox.Append(ctx, tx, events); err != nil {
			return err
		}
		if undo {
			return errUndo
		}
		return nil
	})
	if undo && errors.Is(err, errUndo) {
		return nil
	}
	return err
}

// check demands that of each thing exactly the versions that the database holds are in events, once, in order.
func (th things) check(t *testing.T, db *sqldb.DB, events []event.Event) {
	t.Helper()
	type thing struct {
		ID      string `db:"id"`
		Version int    `db:"version"`
	}
	var want []thing
	if err := db.Pool().Select(&want, `SELECT id, version FROM thing`); err != nil {
		t.Fatal(err)
	}
	seen := map[string][]int{}
	for _, e := range events {
		seen[e.ReservationID] = append(seen[e.ReservationID], e.Version)
	}
	missed, doubled, inverted := 0, 0, 0
	for _, w := range want {
		got, last := map[int]int{}, 0
		for _, v := range seen[w.ID] {
			got[v]++
			if v < last {
				inverted++
			}
			last = v
		}
		for v := 1; v <= w.Version; v++ {
			switch got[v] {
			case 0:
				missed++
			case 1:
			default:
				doubled++
			}
			delete(got, v)
		}
		if len(got) > 0 {
			t.Errorf("versions of %s were published that no commit made: %v", w.ID, got)
		}
	}
	if missed+doubled+inverted > 0 {
		t.Errorf("of %d events %d were missed, %d doubled, %d stood in the wrong order", len(events), missed, doubled, inverted)
	}
}

// total is how many events the committed versions of all things are.
func (th things) total(t *testing.T, db *sqldb.DB) int {
	t.Helper()
	var n int
	if err := db.Pool().Get(&n, `SELECT COALESCE(SUM(version), 0) FROM thing`); err != nil {
		t.Fatal(err)
	}
	return n
}
