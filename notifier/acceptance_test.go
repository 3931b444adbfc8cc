package notifier_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// lag is how long the network's list does not show a text.
const lag = 3 * time.Second

// lagging are the times of a pipeline against such a list: the last look is well beyond the lag, and so is every look's
// distance from the second. Beyond the lag there are nine seconds for a machine that is busy with other tests: a network that takes a
// text only after its sender has given up, by more than that, gets a second one, as the README says.
func lagging() notifier.Policy {
	p := quick
	p.Looks = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 12 * time.Second}
	p.Lease, p.Deadline = 15*time.Second, 1500*time.Millisecond
	return p
}

// taken are the faults in which the network takes the text and its answer is lost.
var taken = []sandbox.Answer{sandbox.AnswerHang, sandbox.AnswerDrop, sandbox.Answer500, sandbox.AnswerTruncated, sandbox.Answer503}

// notTaken are those that look the same from here, and in which it does not.
var notTaken = []sandbox.Answer{sandbox.AnswerHang, sandbox.AnswerDrop, sandbox.Answer500, sandbox.Answer503}

// troubles are what reservations meet, request by request: the dice decide, and nothing else, so that a run can be repeated.
// Half of them meet something. With gone, a request may also be lost before the network took it.
func troubles(r *rig, dice *rand.Rand, ids []string, gone bool) (rules []sandbox.Rule, meet int) {
	for _, id := range ids {
		to := sandbox.Match{To: r.book[id].Phone.Reveal()}
		one := func(happen string, a sandbox.Answer) {
			rules = append(rules, sandbox.Rule{Match: to, Happen: happen, Answer: a, Count: 1, Callbacks: sandbox.CallbacksNone,
				ListLag: sandbox.Duration(lag)})
		}
		before := len(rules)
		for dice.IntN(20) == 0 {
			one("", sandbox.Answer429)
		}
		if gone && dice.IntN(8) == 0 {
			one("no", notTaken[dice.IntN(len(notTaken))])
		}
		if dice.IntN(3) == 0 {
			one("yes", taken[dice.IntN(len(taken))])
		}
		if len(rules) > before {
			meet++
		}
	}
	// The list lags for the texts of those who were spared, too.
	return append(rules, sandbox.Rule{ListLag: sandbox.Duration(lag)}), meet
}

// TestEveryReservationGetsItsTextAndExactlyOne is what the notifier is for. The provider may, for each request, hang after
// taking it, reset the connection before or after, answer 500, half a 201 or a load balancer's page after taking it, or 429;
// its list lags three seconds, and for what was faulty no callback ever comes.
func TestEveryReservationGetsItsTextAndExactlyOne(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"taken and lost": false, "some lost before": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				const people, seed = 300, 20210719
				r := newRig(t, db, lagging())
				ids, events := r.crowd(people)
				rules, meet := troubles(r, rand.New(rand.NewPCG(seed, 1)), ids, gone)
				r.faults(rules...)
				t.Logf("seed %d: %d of %d reservations meet %d faults", seed, meet, people, len(rules)-1)
				r.start()
				r.deliver(events...)
				r.untilAllAccepted(ids...)
				r.exactlyOne(ids...)
				for _, f := range r.phones.Faults()[:len(rules)-1] {
					if f.Fired != 1 {
						t.Errorf("a fault came %d times, want once: %s, happen %q", f.Fired, f.Answer, f.Happen)
					}
				}
				if n := r.figure("ansim_duplicate_texts_total"); n != 0 {
					t.Errorf("%v duplicates are counted", n)
				}
				// On a slow machine a request may be lost that the network never got. It is counted a moment after it is stored.
				found := r.lostAndTaken()
				r.until("what was lost and taken is counted as known", func() bool { return r.figure("ansim_unknown_resolved_total") >= found })
				lost, known := r.figure("ansim_unknown_total"), r.figure("ansim_unknown_resolved_total")
				if found == 0 || known > lost {
					t.Errorf("counted %v unknown outcomes, of %v it became known", lost, known)
				}
			})
		})
	}
}

// lostAndTaken is how many attempts there are whose answer was lost, and whose text the network has.
func (r *rig) lostAndTaken() (n float64) {
	r.t.Helper()
	var lost []string
	r.query(&lost, `SELECT token FROM attempt WHERE unknown_at IS NOT NULL`)
	for _, x := range r.phones.Texts() {
		if slices.Contains(lost, x.Token) {
			n++
		}
	}
	return n
}

// untilAllAccepted waits until each reservation has one text and the provider is known to have it.
func (r *rig) untilAllAccepted(ids ...string) {
	r.t.Helper()
	r.until("every text is known to be accepted", func() bool {
		found, err := notifier.Texts(r.t.Context(), r.db, ids)
		if err != nil {
			r.t.Fatal(err)
		}
		accepted := 0
		for _, id := range ids {
			list := found[id]
			if len(list) == 1 && (list[0].State == notifier.StateHeld || list[0].State == notifier.StateFailed || list[0].State == notifier.StateSuppressed) {
				r.t.Fatalf("the text of reservation %s is %s (%s)", id, list[0].State, list[0].Reason)
			}
			if len(list) == 1 && list[0].AcceptedAt != nil {
				accepted++
			}
		}
		return accepted == len(ids)
	})
}

// few is so few that the sender does not take their lost answers for the end of the provider.
const few = 3

// TestAnOlderTextDoesNotProveANewerOne: a text that was asked for again says the same as the first one. The first arrived;
// the second is lost before the provider takes it, and the list shows the first one's copy only.
func TestAnOlderTextDoesNotProveANewerOne(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.start()
		ids, events := r.crowd(few)
		r.deliver(events...)
		r.untilState(notifier.StateDelivered, ids...)
		r.faults(sandbox.Rule{Happen: "no", Answer: sandbox.Answer500, Count: len(ids)})
		for _, id := range ids {
			r.deliver(r.again(id, 1))
		}
		r.untilDeliveredTexts(2, ids...)
		r.textsEach(2, ids...)
	})
}

// TestAnOlderLostTextDoesNotProveANewerOne: here the first one's answer was lost, too, and the list can be read only when the
// second's is. What it then shows is the first one's; the second goes out once more.
func TestAnOlderLostTextDoesNotProveANewerOne(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := quick
		p.Looks = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}
		r := newRig(t, db, p)
		r.start()
		ids, events := r.crowd(few)
		r.faults(sandbox.Rule{Answer: sandbox.Answer500, Callbacks: sandbox.CallbacksNone, Count: len(ids)}, unreadable)
		r.deliver(events...)
		r.untilState(notifier.StateUnknown, ids...)
		// The provider tells whole seconds, and its clock is known as well as that. In earnest a resend comes a minute later.
		r.until("their times can be told from later ones", func() bool {
			texts := r.phones.Texts()
			return time.Since(texts[len(texts)-1].At) > 2*time.Second
		})
		r.faults(sandbox.Rule{Happen: "no", Answer: sandbox.Answer500, Count: len(ids)}, unreadable)
		for _, id := range ids {
			r.deliver(r.again(id, 1))
		}
		r.until("there are two of each", func() bool {
			return r.messages() == 2*len(ids)
		})
		r.untilState(notifier.StateUnknown, ids...)
		r.faults()
		r.until("both texts of each are known to be accepted", func() bool {
			found, err := notifier.Texts(t.Context(), db, ids)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if list := found[id]; len(list) != 2 || list[0].AcceptedAt == nil || list[1].AcceptedAt == nil {
					return false
				}
			}
			return true
		})
		r.textsEach(2, ids...)
	})
}

// untilDeliveredTexts waits until each reservation has n texts and all of them are delivered.
func (r *rig) untilDeliveredTexts(n int, ids ...string) {
	r.t.Helper()
	r.until("all texts are delivered", func() bool {
		found, err := notifier.Texts(r.t.Context(), r.db, ids)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, id := range ids {
			list := found[id]
			for _, x := range list {
				if x.State != notifier.StateDelivered {
					return false
				}
			}
			if len(list) != n {
				return false
			}
		}
		return true
	})
}

// textsEach wants n texts at each reservation's number.
func (r *rig) textsEach(n int, ids ...string) {
	r.t.Helper()
	got := map[string]int{}
	for _, x := range r.phones.Texts() {
		got[x.To]++
	}
	for _, id := range ids {
		if k := got[r.book[id].Phone.Reveal()]; k != n {
			r.t.Errorf("reservation %s got %d texts, want %d", id, k, n)
		}
	}
}
