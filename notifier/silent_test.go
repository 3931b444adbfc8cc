package notifier_test

import (
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// polling is quick with a poll soon after the acceptance and two more.
func polling() notifier.Policy {
	p := quick
	p.Polls = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond}
	p.Unconfirmed = 1500 * time.Millisecond
	return p
}

// insisting is polling that asks until it knows, however long the network takes.
func insisting() notifier.Policy {
	p := polling()
	for len(p.Polls) < 600 { // a third of a second each, as long as a test has patience
		p.Polls = append(p.Polls, p.Polls[len(p.Polls)-1]+300*time.Millisecond)
	}
	p.Unconfirmed = time.Hour
	return p
}

// TestASilentProviderIsAskedForReceipts: no callback ever comes; what became of the texts is asked for.
func TestASilentProviderIsAskedForReceipts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, insisting())
		r.faults(sandbox.Rule{Callbacks: sandbox.CallbacksNone})
		r.start()
		ids, events := r.crowd(100)
		r.deliver(events...)
		r.untilState(notifier.StateDelivered, ids...)
		r.exactlyOne(ids...)
		var sources []string
		r.query(&sources, `SELECT DISTINCT source FROM receipt`)
		if len(sources) != 1 || sources[0] != "list" {
			t.Errorf("receipts came by %v", sources)
		}
	})
}

// TestWhatASilentProviderDidNotDeliverIsTriedAgain: bad news that is asked for counts as much as news that is called back.
func TestWhatASilentProviderDidNotDeliverIsTriedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := insisting()
		p.Arrivals = []time.Duration{10 * time.Millisecond}
		r := newRig(t, db, p)
		r.faults(sandbox.Rule{Final: "undelivered:30003", Callbacks: sandbox.CallbacksNone, Count: 1},
			sandbox.Rule{Callbacks: sandbox.CallbacksNone})
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateDelivered, id)
		if got := r.texts(id)[0]; got.Attempts != 2 {
			t.Errorf("%d attempts, want 2", got.Attempts)
		}
	})
}

// TestNobodyConfirms: the network itself never learns what became of the text. After the last poll that is said, and the
// text keeps the state that is known.
func TestNobodyConfirms(t *testing.T) {
	t.Parallel()
	for _, callbacks := range []string{sandbox.CallbacksNone, sandbox.CallbacksNormal} {
		t.Run("callbacks "+callbacks, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				r := newRig(t, db, polling())
				r.faults(sandbox.Rule{Final: "sent", Callbacks: callbacks})
				r.start()
				id := r.reservation(1)
				r.deliver(r.event(id, event.Booked, 1))
				r.until("it is called unconfirmed", func() bool {
					list := r.texts(id)
					return len(list) == 1 && list[0].Reason == notifier.ReasonUnconfirmed
				})
				if got := r.texts(id)[0]; got.State != notifier.StateSent || got.Attempts != 1 {
					t.Errorf("state %s after %d attempts", got.State, got.Attempts)
				}
				if n := r.wire.asked(); n != 4 {
					t.Errorf("it was asked for %d times, want 3 and a last one", n)
				}
				var jobs []string
				r.query(&jobs, `SELECT job FROM message_queue`)
				if len(jobs) != 0 {
					t.Errorf("something is still due: %v", jobs)
				}
			})
		})
	}
}

// TestALateReceiptIsTakenAfterTheLastPoll: "unconfirmed" is what we know, not the end of the text.
func TestALateReceiptIsTakenAfterTheLastPoll(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := polling()
		p.Polls, p.Unconfirmed = []time.Duration{20 * time.Millisecond}, 60*time.Millisecond
		net := slowNetwork(time.Hour)
		r := newRigWith(t, db, p, net)
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.until("it is called unconfirmed", func() bool {
			list := r.texts(id)
			return len(list) == 1 && list[0].Reason == notifier.ReasonUnconfirmed
		})
		text := r.phones.Texts()[0]
		if err := r.rec.Receive(t.Context(), notifier.Receipt{Token: text.Token, SID: text.SID, Status: "delivered"}); err != nil {
			t.Fatal(err)
		}
		r.untilState(notifier.StateDelivered, id)
		if got := r.texts(id)[0].Reason; got != "" {
			t.Errorf("a delivered text says %q", got)
		}
	})
}

// slowNetwork is one that delivers a text after d.
func slowNetwork(d time.Duration) sandbox.Options {
	return sandbox.Options{SentAfter: [2]time.Duration{0, time.Millisecond}, DeliveredAfter: [2]time.Duration{d, d + time.Millisecond}}
}
