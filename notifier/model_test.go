package notifier

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ansim/schema/sqldb"
)

// world is one message as the pipeline drives it, and beside it the model: what is true of each attempt, which the notifier
// cannot see, and what it was told.
type world struct {
	t    *rapid.T
	p    Policy
	now  time.Time
	m    *Message
	job  Job
	due  time.Time
	done bool // cancelled: no attempt may begin any more

	truth []fact // by attempt
}

// fact is what is true of one attempt, and the highest that was told of it.
type fact struct {
	taken    bool
	answered bool
	told     AttemptState
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, p: Policy{}.withDefaults(), now: noon, job: Send, due: noon}
	w.m = &Message{ID: "m", Kind: Confirmation, State: Pending, EventAt: sqldb.At(noon)}
	return w
}

// step does one thing to the message, and then looks whether all that must hold does.
func (w *world) step(what string, f func()) {
	before := make([]AttemptState, len(w.m.log))
	for i, a := range w.m.log {
		before[i] = a.State
	}
	f()
	if w.m.next != nil {
		w.job, w.due = w.m.next.job, w.m.next.at
		w.m.next = nil
	}
	for i, s := range before {
		if w.m.log[i].State.rank() < s.rank() {
			w.t.Fatalf("after %s attempt %d fell from %s to %s", what, i+1, s, w.m.log[i].State)
		}
	}
	w.agrees(what)
}

// jobs is what may be due in each state. A delivered text may be asked about once more for an attempt of unknown outcome.
var jobs = map[State][]Job{
	Pending: {Send}, StateUndelivered: {Send}, Sending: {Answer}, StateUnknown: {Look}, StateAccepted: {Poll}, StateSent: {Poll},
	StateHeld: {Person}, StateFailed: {Person}, StateSuppressed: {""}, StateDelivered: {"", Poll},
}

func (w *world) agrees(what string) {
	m := w.m
	bad := func(format string, args ...any) {
		w.t.Helper()
		w.t.Fatalf("after %s (%s, %q, job %q): %s", what, m.State, m.Reason, w.job, fmt.Sprintf(format, args...))
	}
	want := jobs[m.State]
	if m.Reason == ReasonUnconfirmed {
		want = []Job{""}
	}
	if !slices.Contains(want, w.job) {
		bad("want one of %q", want)
	}
	delivered, unknown := false, 0
	for i, a := range m.log {
		delivered = delivered || w.truth[i].told == AttemptDelivered
		if a.State == AttemptUnknown {
			unknown++
		}
		if told := w.truth[i].told; a.State.rank() < told.rank() {
			bad("attempt %d is %s, and was told to be %s", i+1, a.State, told)
		}
	}
	if m.State == StateDelivered && w.job == Poll && m.count(AttemptState.undecided) == 0 {
		bad("nothing is left to ask for")
	}
	if delivered != (m.State == StateDelivered) {
		bad("an attempt is delivered: %t", delivered)
	}
	if unknown > w.p.Further+1 {
		bad("%d attempts of unknown outcome", unknown)
	}
	switch m.State {
	case StateFailed, StateHeld, StateSuppressed, StateUndelivered:
		if m.Reason == "" {
			bad("it does not say why")
		}
	}
}

// begin is what the sender does with a message that is due.
func (w *world) begin(taken bool) {
	if w.job != Send || w.now.Before(w.due) {
		return
	}
	w.step("begin", func() {
		switch {
		case w.done:
			w.m.end(ReasonCancelled, w.now)
		case w.m.stale(w.now):
			w.m.lookAgain(w.now, w.p)
		default:
			for i, a := range w.m.log {
				if a.State == AttemptOpen || w.truth[i].told.alive() {
					w.t.Fatalf("attempt %d begins while %d is %s", len(w.m.log)+1, i+1, a.State)
				}
				if a.State == AttemptUnknown && (w.m.LookedAt == nil || w.now.Sub(w.m.LookedAt.Time) > 10*time.Second ||
					w.m.LookedAt.Sub(a.UnknownAt.Time) < w.p.Looks[len(w.p.Looks)-1]) {
					w.t.Fatalf("attempt %d begins at %s; %d is unknown since %s, the last look was at %v", len(w.m.log)+1, w.now, i+1, a.UnknownAt, w.m.LookedAt)
				}
			}
			w.truth = append(w.truth, fact{taken: taken, told: AttemptOpen})
			w.m.begin(fmt.Sprint("t", len(w.truth)), nil, w.now, w.now.Add(w.p.Lease))
		}
	})
}

// answer gives an attempt the outcome of its request: what is true, or that nobody knows.
func (w *world) answer(i int, o Outcome) {
	if i >= len(w.truth) || w.truth[i].answered || o.Class == Accepted != w.truth[i].taken && o.Class != Unknown {
		return
	}
	w.truth[i].answered = true
	o.SID = fmt.Sprint("SM", i)
	if o.Class == Accepted {
		w.tell(i, AttemptAccepted)
	}
	w.step("outcome "+string(o.Class), func() { w.m.outcome(w.m.log[i], o, w.now, w.p) })
}

func (w *world) tell(i int, s AttemptState) {
	if s.rank() > w.truth[i].told.rank() {
		w.truth[i].told = s
	}
}

// hear brings a receipt for an attempt that the provider has taken.
func (w *world) hear(i int, word string, d Disposition) {
	if i >= len(w.truth) || !w.truth[i].taken {
		return
	}
	s := attemptOf[word]
	if !s.lost() {
		d = ""
	}
	w.tell(i, s)
	w.step("receipt "+word, func() {
		w.m.evidence(w.m.log[i], s, Receipt{SID: fmt.Sprint("SM", i), Disposition: d, ErrorCode: 30008}, w.now, w.p)
	})
}

// work does what is due: ends a lease, looks, polls. shown says that the provider's list shows what is true.
func (w *world) work(shown bool) {
	if w.now.Before(w.due) {
		return
	}
	switch w.job {
	case Answer:
		w.step("expiry", func() { w.m.expire(w.now, w.p) })
	case Look:
		found := false
		for i, a := range w.m.log {
			if shown && w.truth[i].taken && a.State == AttemptUnknown {
				found = true
				w.hear(i, "sent", "")
			}
		}
		if !found {
			w.step("look", func() { w.m.missed(w.now, w.now, w.p) })
		}
	case Poll:
		w.step("poll", func() { w.m.polled(w.now, w.p) })
	}
}

// TestTheMachineAgainstAModel drives a message through anything that can happen, in any order, and in the end lets everything
// go well: then it must come to an end, and a person must have the text or be told why not.
func TestTheMachineAgainstAModel(t *testing.T) {
	t.Parallel()
	words := []string{"queued", "sending", "sent", "delivered", "undelivered", "failed"}
	outcomes := []Outcome{
		{Class: Accepted}, {Class: Unknown}, {Class: Unknown}, {Class: NotSent}, {Class: NotSent, Throttled: true, RetryAfter: time.Second},
		{Class: Rejected, Disposition: Later, Code: 30001}, {Class: Rejected, Disposition: Configuration, Code: 20003},
		{Class: Rejected, Disposition: Permanent, Code: 21211}, {Class: Rejected, Disposition: OptedOut, Code: 21610},
	}
	for range 30 { // of 100 each: some of what went wrong took longer than the 100 that are rapid's own measure
		rapid.Check(t, machine(words, outcomes))
	}
}

func machine(words []string, outcomes []Outcome) func(*rapid.T) {
	return func(t *rapid.T) {
		w := newWorld(t)
		which := func() int { return rapid.IntRange(0, max(0, len(w.truth)-1)).Draw(t, "attempt") }
		t.Repeat(map[string]func(*rapid.T){
			"begin":  func(t *rapid.T) { w.begin(rapid.Bool().Draw(t, "taken")) },
			"answer": func(t *rapid.T) { w.answer(which(), rapid.SampledFrom(outcomes).Draw(t, "outcome")) },
			"hear": func(t *rapid.T) {
				w.hear(which(), rapid.SampledFrom(words).Draw(t, "word"), rapid.SampledFrom([]Disposition{Later, Permanent, Configuration}).Draw(t, "end"))
			},
			"work":   func(t *rapid.T) { w.work(rapid.Bool().Draw(t, "shown")) },
			"fail":   func(*rapid.T) { w.questionFails() },
			"cancel": func(t *rapid.T) { w.done = w.done || rapid.IntRange(0, 9).Draw(t, "cancel") == 0 },
			"wait": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second)
			},
			"until": func(*rapid.T) { w.toDue() },
		})
		w.goWell()
	}
}

// questionFails is a look, or a poll, that tells nothing.
func (w *world) questionFails() {
	switch {
	case w.now.Before(w.due):
	case w.job == Look:
		w.step("failed look", func() { w.m.lookFailed(w.now, w.p) })
	case w.job == Poll:
		w.step("failed poll", func() { w.m.pollFailed(w.now, w.p) })
	}
}

func (w *world) toDue() {
	if w.job != "" && w.job != Person && w.due.After(w.now) {
		w.now = w.due
	}
}

// goWell lets the provider take, answer, show and deliver everything from now on.
func (w *world) goWell() {
	for range 200 {
		if w.job == "" || w.job == Person {
			return
		}
		w.toDue()
		w.begin(true)
		for i, f := range w.truth {
			if f.taken {
				w.answer(i, Outcome{Class: Accepted})
				if !f.told.lost() {
					w.hear(i, "delivered", "")
				}
			} else {
				w.answer(i, Outcome{Class: NotSent})
			}
		}
		w.work(true)
	}
	w.t.Fatalf("it never ends: %s (%s), job %s due in %s", w.m.State, w.m.Reason, w.job, w.due.Sub(w.now))
}
