package notifier_test

import (
	"sync/atomic"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// arriving is quick with short pauses before further attempts of what did not arrive.
func arriving(pauses ...time.Duration) notifier.Policy {
	p := quick
	p.Arrivals = pauses
	return p
}

// TestWhatDidNotArriveIsTriedAgain: the provider had taken it, and the phone was off; then it is on.
func TestWhatDidNotArriveIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, final := range []string{"failed:30001", "undelivered:30003", "undelivered:30008"} {
		for times := 1; times <= 2; times++ {
			t.Run(final, func(t *testing.T) {
				t.Parallel()
				dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
					first, second := 200*time.Millisecond, 400*time.Millisecond
					r := newRig(t, db, arriving(first, second))
					r.faults(sandbox.Rule{Final: final, Count: times})
					r.start()
					id := r.reservation(1)
					r.deliver(r.event(id, event.Booked, 1))
					r.untilState(notifier.StateDelivered, id)
					if got := r.texts(id)[0]; got.Attempts != times+1 || got.Reason != "" {
						t.Errorf("delivered after %d attempts (%q), want %d", got.Attempts, got.Reason, times+1)
					}
					if n := r.taken(); n != times+1 {
						t.Errorf("the network took %d texts, want %d", n, times+1)
					}
					// A pause is at least half of what the policy says, jittered; see Policy.jitter.
					calls := r.wire.since(0)
					for i, pause := range []time.Duration{first, second}[:times] {
						if d := calls[i+1].came.Sub(calls[i].came); d < pause/2 {
							t.Errorf("attempt %d followed the one before after %s; the pause is %s", i+2, d, pause)
						}
					}
					// What did not arrive is no second copy.
					if n := r.figure("ansim_duplicate_texts_total"); n != 0 {
						t.Errorf("%v duplicates are counted", n)
					}
				})
			})
		}
	}
}

// TestANumberThatDoesNotExistIsNotTriedAgain: 30005 will not pass.
func TestANumberThatDoesNotExistIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, arriving(time.Millisecond))
		r.faults(sandbox.Rule{Final: "undelivered:30005"})
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateFailed, id)
		r.staysDone(id)
		if got := r.texts(id)[0]; got.Attempts != 1 || got.Reason != "error-30005" {
			t.Errorf("%d attempts, reason %q", got.Attempts, got.Reason)
		}
	})
}

// TestWhatNeverArrivesEndsWithAPerson: after the last of the further attempts somebody has to know.
func TestWhatNeverArrivesEndsWithAPerson(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, arriving(time.Millisecond, 2*time.Millisecond, 3*time.Millisecond))
		r.faults(sandbox.Rule{Final: "undelivered:30003"})
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateFailed, id)
		r.staysDone(id)
		if got := r.texts(id)[0]; got.Attempts != 4 || got.Reason != "error-30003" {
			t.Errorf("%d attempts, reason %q; want the first and one for each of three pauses", got.Attempts, got.Reason)
		}
		b, err := notifier.Waiting(t.Context(), db)
		if err != nil || b.Person != 1 {
			t.Errorf("%d wait for a person, error %v", b.Person, err)
		}
	})
}

// TestWhatDidNotArriveAndIsOfNoUseAnyMore: while the next attempt waited, the day came, or the reservation was given up.
func TestWhatDidNotArriveAndIsOfNoUseAnyMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(r *rig, id string)
		state     notifier.State
		reason    string
	}{
		// Nobody told this person, so somebody should: that is no suppressed text.
		"the day came": {func(r *rig, id string) {
			r.alter(id, func(a *notifier.Appointment) { a.StartsAt = time.Now().Add(-time.Minute) })
		}, notifier.StateFailed, "error-30003"},
		"cancelled": {func(r *rig, id string) { r.cancel(id) }, notifier.StateSuppressed, notifier.ReasonCancelled},
		"changed":   {func(r *rig, id string) { r.change(id) }, notifier.StateSuppressed, notifier.ReasonSuperseded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
				var ahead atomic.Int64 // of our clock is the database's, so that the pause ends when the test says so
				db := open(t, sqldb.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
				r := newRig(t, db, arriving(time.Hour))
				r.faults(sandbox.Rule{Final: "undelivered:30003"})
				r.start()
				id := r.reservation(1)
				r.deliver(r.event(id, event.Booked, 1))
				r.untilState(notifier.StateUndelivered, id)
				c.meanwhile(r, id)
				ahead.Store(int64(2 * time.Hour))
				r.untilState(c.state, id)
				if got := r.texts(id)[0]; got.Reason != c.reason || got.Attempts != 1 {
					t.Errorf("reason %q after %d attempts, want %q after 1", got.Reason, got.Attempts, c.reason)
				}
				if n := r.taken(); n != 1 {
					t.Errorf("the network took %d texts", n)
				}
			})
		})
	}
}

// staysDone sends another reservation's text all the way, by which time whatever was still due for the one would have begun.
func (r *rig) staysDone(id string) {
	r.t.Helper()
	before := r.texts(id)
	r.faults()
	other := r.reservation(900)
	r.deliver(r.event(other, event.Booked, 1))
	r.untilState(notifier.StateDelivered, other)
	var jobs []string
	r.query(&jobs, `SELECT q.job FROM message_queue q JOIN message m ON m.id = q.message_id WHERE m.reservation_id = ?`, id)
	if len(jobs) != 1 || jobs[0] != string(notifier.Person) {
		r.t.Errorf("what is done has the jobs %v; want one for a person", jobs)
	}
	if after := r.texts(id); after[0].Attempts != before[0].Attempts {
		r.t.Errorf("an attempt followed the end")
	}
}
