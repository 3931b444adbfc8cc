package notifier_test

import (
	"slices"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// probes is how many requests in a row a test watches while the provider refuses.
const probes = 8

// visible is how long the network takes for an answer where it matters how many requests are under way: those that begin
// together are then seen together.
const visible = sandbox.Duration(50 * time.Millisecond)

// TestARefusedAccountBurnsNothing: five hundred wait while the provider refuses our account. It is asked with one text at a
// time, with a pause between, and nothing is given up; when the account works again, sending goes on by itself.
func TestARefusedAccountBurnsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := quick
		p.Slots, p.SlotTime = 32, time.Minute // nothing goes on without its slot
		p.ConfigurationPause = 300 * time.Millisecond
		r := newRig(t, db, p)
		r.faults(sandbox.Rule{Answer: sandbox.Answer401, Delay: visible})
		n := r.start()
		ids, events := r.crowd(500)
		r.deliver(events...)
		r.until("everything waits", func() bool { return r.messages() == len(ids) })
		r.until("the sender knows", func() bool { return n.Provider() == "refused" })
		r.until("what began before it knew has ended", func() bool { return r.sending() == 0 })
		first := r.wire.count()
		calls := r.wire.since(0)[:first]
		probed := int(calls[first-1].came.Sub(calls[0].came)/(p.ConfigurationPause/2)) + 1
		if first > p.Slots+probed {
			t.Errorf("%d requests until it knew, with %d slots and at most %d probes since", first, p.Slots, probed)
		}
		r.until("it was probed", func() bool { return r.wire.count() >= first+probes })
		calls = r.wire.since(first)[:probes]
		for i, c := range calls {
			if c.beside != 1 {
				t.Errorf("probe %d went with %d others", i, c.beside-1)
			}
			if i > 0 && c.came.Sub(calls[i-1].went) < p.ConfigurationPause/2 {
				t.Errorf("probe %d followed after %s; the pause is %s", i, c.came.Sub(calls[i-1].went), p.ConfigurationPause)
			}
		}
		var burnt []string
		r.query(&burnt, `SELECT id FROM message WHERE failures > 0 OR state NOT IN ('pending', 'sending')`)
		if len(burnt) > 0 {
			t.Errorf("%d messages were held responsible for the account", len(burnt))
		}
		r.faults()
		r.untilState(notifier.StateDelivered, ids...)
		r.exactlyOne(ids...)
		if got := n.Provider(); got != "ok" {
			t.Errorf("everything is sent, and the provider is %q", got)
		}
	})
}

// TestAStormOf429 refuses 95 of 100 requests for a while. They become few, since more would only be refused as well;
// afterwards more and more are under way again, and everybody gets one text.
func TestAStormOf429(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const people, slots, stormy = 300, 8, 18
		p := quick
		p.Slots, p.SlotTime = slots, time.Minute // nothing goes on without its slot
		r := newRig(t, db, p)
		answer := sandbox.Rule{Delay: visible}
		r.faults(sandbox.Rule{Answer: sandbox.Answer429, Match: sandbox.Match{Probability: 0.95}, Delay: visible}, answer)
		n := r.start()
		ids, events := r.crowd(people)
		r.deliver(events...)
		r.until("it storms", func() bool { return r.wire.count() >= stormy })
		if got := n.Provider(); got != "throttled" && got != "ok" {
			t.Errorf("the provider answers, and is called %q", got)
		}
		passed := r.taken()
		calls := r.wire.since(0)
		r.faults(answer)
		lasted := calls[len(calls)-1].came.Sub(calls[0].came)
		// Each round of 429s halves how many go, and what passes adds one: 8, 4, and then two at most.
		for i, c := range calls[8+4:] {
			if c.beside > 2+passed {
				t.Errorf("request %d of the storm went with %d others, and %d had passed", i+8+4, c.beside-1, passed)
			}
		}
		r.until("the storm is a while ago", func() bool { return r.taken() >= people/2 })
		r.wire.shut()
		r.until("all slots are in use again", func() bool { return r.wire.underWay() == slots })
		r.wire.open()
		r.untilState(notifier.StateDelivered, ids...)
		r.exactlyOne(ids...)
		t.Logf("%d requests, %d passed, in a storm of %s", len(calls), passed, lasted)
	})
}

// TestThrottledIsNotUnknown: a 429 proves that the text was not taken. However often it comes, nothing is looked for, and no
// person is asked; as unknown, four of them would be one too many.
func TestThrottledIsNotUnknown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const refused = 4
		r := newRig(t, db, quick)
		r.faults(sandbox.Rule{Answer: sandbox.Answer429, Count: refused})
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateDelivered, id)
		r.exactlyOne(id)
		if n := r.wire.asked(); n != 0 {
			t.Errorf("the provider was asked %d times for a text that it had refused to take", n)
		}
		var states []string
		r.query(&states, `SELECT state FROM attempt ORDER BY n`)
		if want := []string{"not_sent", "not_sent", "not_sent", "not_sent", "delivered"}; !slices.Equal(states, want) {
			t.Errorf("attempts %v, want %v", states, want)
		}
	})
}

// sending is how many attempts are under way.
func (r *rig) sending() int64 {
	r.t.Helper()
	b, err := notifier.Waiting(r.t.Context(), r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	return b.Sending
}

// messages counts what the intake has made.
func (r *rig) messages() int {
	r.t.Helper()
	var n []int
	r.query(&n, `SELECT COUNT(*) FROM message`)
	return n[0]
}
