package notifier_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// TestABacklogGoesOutByWeight: confirmations, changes and what was asked for again wait together. Of fourteen texts that the
// network takes, eight are confirmations, four changes and two resends, from the beginning to when a class runs out.
func TestABacklogGoesOutByWeight(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const rounds = 8
		p := quick
		p.Slots, p.SlotTime = 1, time.Hour // so that the network sees the order in which they begin
		r := newRig(t, db, p)
		r.faults(sandbox.Rule{Callbacks: sandbox.CallbacksNone})
		class := map[string]string{}
		var ids []string
		var events []event.Event
		add := func(name string, n int, e func(id string) event.Event) {
			for range n {
				id := r.reservation(len(ids))
				ids, events = append(ids, id), append(events, e(id))
				class[r.book[id].Phone.Reveal()] = name
			}
		}
		// The last class first: the order of arrival must not matter between classes.
		add("resend", 2*rounds+20, func(id string) event.Event { return r.again(id, 1) })
		add("change", 4*rounds, r.change)
		add("confirmation", 8*rounds, func(id string) event.Event { return r.event(id, event.Booked, 1) })
		r.wire.shut() // the first text is under way, and all the others come in behind it
		r.start()
		door := r.reservation(len(ids))
		r.deliver(r.event(door, event.Booked, 1))
		r.until("a text is under way", func() bool { return r.wire.underWay() == 1 })
		r.deliver(events...)
		r.until("everything waits", func() bool { return r.messages() == len(ids)+1 })
		r.wire.open()
		r.untilAllAccepted(append(ids, door)...)
		r.exactlyOne(append(ids, door)...)
		texts := r.phones.Texts()[1:]
		for i := range rounds {
			got := map[string]int{}
			for _, x := range texts[i*14 : (i+1)*14] {
				got[class[x.To]]++
			}
			if got["confirmation"] != 8 || got["change"] != 4 || got["resend"] != 2 {
				t.Errorf("round %d: %v", i, got)
			}
		}
		for _, x := range texts[rounds*14:] {
			if class[x.To] != "resend" {
				t.Errorf("a %s came after all that was of more weight", class[x.To])
			}
		}
	})
}

// TestTwoNotifiersKeepOneBudget: what both together hand to the provider, in segments, stays within the rate over every
// stretch of time, by the database's clock.
func TestTwoNotifiersKeepOneBudget(t *testing.T) {
	t.Parallel()
	const people, rate, processes = 120, 25.0, 2
	db := dbtest.Postgres(t, sqldb.Options{})
	p := quick
	p.SegmentsPerSecond = rate
	r := newRig(t, db, p)
	r.start()
	r.start()
	ids, events := r.crowd(people)
	r.deliver(events...)
	r.untilState(notifier.StateDelivered, ids...)
	r.exactlyOne(ids...)
	segments := map[string]int{} // by the attempt's token
	for _, x := range r.phones.Texts() {
		segments[x.Token] = sandbox.Segments(x.Body)
	}
	var begun []struct {
		Token string     `db:"token"`
		At    sqldb.Time `db:"started_at"`
	}
	r.query(&begun, `SELECT token, started_at FROM attempt ORDER BY started_at`)
	if len(begun) != people {
		t.Fatalf("%d attempts for %d texts", len(begun), people)
	}
	for i := range begun {
		sum := 0
		for j := i; j < len(begun); j++ {
			sum += segments[begun[j].Token]
			stretch := begun[j].At.Sub(begun[i].At.Time)
			// The bucket holds what a second brings; each process may end with a text that is longer than what is left.
			if bound := rate + rate*stretch.Seconds() + processes; float64(sum) > bound {
				t.Fatalf("%d segments within %s; at most %.1f are allowed", sum, stretch, bound)
			}
		}
	}
	t.Logf("%d segments in %s", people, begun[people-1].At.Sub(begun[0].At.Time))
}

// An attempt is dated after all that was looked at before it, not from when its transaction began, which may have waited since:
// what had ended by then would else seem to be under way still.
func TestAnAttemptIsDatedAfterTheLook(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		var mu sync.Mutex
		var looked time.Time
		r.looked = func(ctx context.Context, tx *sqldb.Tx) {
			mu.Lock()
			defer mu.Unlock()
			var err error
			if looked, err = tx.Later(ctx); err != nil {
				t.Error(err)
			}
		}
		id := r.reservation(1)
		r.start()
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateDelivered, id)
		var began []sqldb.Time
		r.query(&began, `SELECT a.started_at FROM attempt a JOIN message m ON m.id = a.message_id WHERE m.reservation_id = ?`, id)
		mu.Lock()
		defer mu.Unlock()
		if len(began) != 1 || began[0].Before(looked) {
			t.Errorf("begun at %v, looked at %v", began, looked)
		}
	})
}
