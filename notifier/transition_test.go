package notifier

import (
	"fmt"
	"testing"
	"time"

	"ansim/schema/event"
)

// missAll records what looks find nothing of a text that became unknown at since: one before, and the last.
func (m *Message) missAll(since time.Time, p Policy) {
	last := since.Add(p.Looks[len(p.Looks)-1])
	m.missed(last.Add(-p.Looks[0]), last.Add(-p.Looks[0]), p)
	for m.Looks < len(p.Looks) && m.State == StateUnknown {
		m.missed(last, last, p)
	}
}

// ofTwo is a confirmation whose first attempt became unknown and was not found, and whose second was just begun.
func ofTwo(t *testing.T, p Policy) *Message {
	t.Helper()
	m := inFlight()
	m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p)
	m.missAll(noon, p)
	if m.State != Pending {
		t.Fatalf("after the last look: %s", m.State)
	}
	m.begin("t2", []byte("hash"), m.LookedAt.Time, m.LookedAt.Add(p.Lease))
	return m
}

// TestTheAttemptThatAMessageReliedOnIsLost: what the later attempt came to decides then; nothing waits for days.
func TestTheAttemptThatAMessageReliedOnIsLost(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	for name, c := range map[string]struct {
		second Outcome
		state  State
		job    Job
	}{
		"the later one is unknown":     {Outcome{Class: Unknown}, StateUnknown, Look},
		"the later one was not sent":   {Outcome{Class: NotSent}, StateUndelivered, Send},
		"the later one was throttled":  {Outcome{Class: NotSent, Throttled: true}, StateUndelivered, Send},
		"the later one was rejected":   {Outcome{Class: Rejected, Disposition: Later, Code: 14107}, StateUndelivered, Send},
		"the later one was taken, too": {Outcome{Class: Accepted, SID: "SM2"}, StateAccepted, Poll},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := ofTwo(t, p)
			now := m.newest().StartedAt.Time
			m.evidence(m.attempt("t1"), AttemptSent, Receipt{SID: "SM1"}, now, p)
			m.outcome(m.attempt("t2"), c.second, now, p)
			if !m.onItsWay() {
				t.Fatalf("the first was taken, and the message is %s", m.State)
			}
			m.evidence(m.attempt("t1"), AttemptUndelivered, Receipt{SID: "SM1", ErrorCode: 30003, Disposition: Later}, now, p)
			if m.State != c.state || m.next == nil || m.next.job != c.job {
				t.Errorf("got %s and %v, want %s and a %s job", m.State, m.next, c.state, c.job)
			}
		})
	}
}

// TestLateNewsOfTheLastUnknownAttempt: there is nothing left to look for, so the message is to be sent; looking for nothing
// would go on for ever.
func TestLateNewsOfTheLastUnknownAttempt(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	for name, late := range map[string]func(*Message, time.Time){
		"it was not sent":    func(m *Message, now time.Time) { m.outcome(m.log[0], Outcome{Class: NotSent}, now, p) },
		"it was rejected":    func(m *Message, now time.Time) { m.outcome(m.log[0], Outcome{Class: Rejected}, now, p) },
		"it did not arrive":  func(m *Message, now time.Time) { m.evidence(m.log[0], AttemptFailed, Receipt{SID: "SM1"}, now, p) },
		"it was on its way ": func(m *Message, now time.Time) { m.evidence(m.log[0], AttemptSent, Receipt{SID: "SM1"}, now, p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := ofTwo(t, p)
			m.log[0].FinishedAt = nil // its process was frozen
			now := m.newest().StartedAt.Time
			m.outcome(m.log[1], Outcome{Class: NotSent}, now, p)
			now = now.Add(time.Minute)
			if !m.stale(now) {
				t.Fatal("the look is fresh after a minute")
			}
			m.lookAgain(now, p)
			late(m, now)
			if m.State == StateUnknown || m.next.job == Look {
				t.Errorf("it is %s, and %v is due, though nothing is unknown", m.State, m.next)
			}
		})
	}
}

// TestAnArrivalDuringAnotherFlight: the message has ended, and still somebody asks once what became of the other attempt.
func TestAnArrivalDuringAnotherFlight(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m := ofTwo(t, p)
	now := m.newest().StartedAt.Time
	m.evidence(m.log[0], AttemptDelivered, Receipt{SID: "SM1"}, now, p)
	if m.State != StateDelivered || m.next.job != Poll || m.next.at.Before(now.Add(p.Lease)) {
		t.Fatalf("got %s and %v, want delivered and a poll after the flight", m.State, m.next)
	}
	now = m.next.at
	m.polled(now, p) // the flight's process died
	if m.log[1].State != AttemptUnknown || m.next.job != Poll || m.next.at.After(now) {
		t.Fatalf("the second is %s and %v is due, want unknown and a question at once", m.log[1].State, m.next)
	}
	if m.polled(now, p); m.State != StateDelivered || m.next.job != "" {
		t.Errorf("got %s and %v, want the end", m.State, m.next)
	}
}

func TestNewsOfAnUnconfirmedTextIsFollowedUp(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m, now := inFlight(), noon
	m.outcome(m.newest(), Outcome{Class: Accepted, SID: "SM1"}, now, p)
	var asked []time.Duration
	for m.Reason != ReasonUnconfirmed {
		if m.next.job != Poll || len(asked) > 10 {
			t.Fatalf("after %v: %s and %v", asked, m.State, m.next)
		}
		now = m.next.at
		asked = append(asked, now.Sub(noon))
		m.polled(now, p)
	}
	// At 5, 15 and 60 min, each step by chance half or one and a half as long, and at 72 h.
	if len(asked) != 4 || asked[2] < 30*time.Minute || asked[2] > 90*time.Minute || asked[3] < 71*time.Hour || asked[3] > 73*time.Hour {
		t.Errorf("asked after %v", asked)
	}
	if m.State != StateAccepted || m.next.job != "" {
		t.Errorf("got %s and %v", m.State, m.next)
	}
	m.evidence(m.newest(), AttemptSent, Receipt{SID: "SM1"}, now, p)
	if m.State != StateSent || m.next.job != Poll {
		t.Errorf("after the news it is %s (%s), and %v is due", m.State, m.Reason, m.next)
	}
}

// TestATextThatDidNotArriveBeforeItsAppointmentHasFailed: also when the last attempt was not even sent.
func TestATextThatDidNotArriveBeforeItsAppointmentHasFailed(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m := inFlight()
	m.evidence(m.newest(), AttemptUndelivered, Receipt{SID: "SM1", ErrorCode: 30003, Disposition: Later}, noon, p)
	m.begin("t2", []byte("hash"), noon, noon.Add(p.Lease))
	m.outcome(m.newest(), Outcome{Class: NotSent}, noon, p)
	if m.end(ReasonPast, noon); m.State != StateFailed || m.Reason != "error-30003" {
		t.Errorf("got %s (%s)", m.State, m.Reason)
	}
}

// TestALookFromBeforeTheClockWasSetBackIsStale: it seems to lie ahead, and says nothing of now.
func TestALookFromBeforeTheClockWasSetBackIsStale(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m := inFlight()
	m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p)
	m.missed(noon.Add(p.Looks[3]), noon.Add(p.Looks[3]), p)
	for at, want := range map[time.Duration]bool{0: false, 10 * time.Second: false, 11 * time.Second: true, -10 * time.Minute: true} {
		if got := m.stale(m.LookedAt.Add(at)); got != want {
			t.Errorf("%s after the look: stale is %t", at, got)
		}
	}
}

// TestNothingIsAskedOnceAllIsKnown: a delivered text is asked about once more for its other attempt. When what became of that one
// comes by itself, say because its process was only paused, nothing stays due.
func TestNothingIsAskedOnceAllIsKnown(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	for name, news := range map[string]func(*Message, time.Time){
		"it was not sent":     func(m *Message, now time.Time) { m.outcome(m.log[0], Outcome{Class: NotSent}, now, p) },
		"it was rejected":     func(m *Message, now time.Time) { m.outcome(m.log[0], Outcome{Class: Rejected}, now, p) },
		"it was taken":        func(m *Message, now time.Time) { m.outcome(m.log[0], Outcome{Class: Accepted, SID: "SM1"}, now, p) },
		"it was undelivered":  func(m *Message, now time.Time) { m.evidence(m.log[0], AttemptUndelivered, Receipt{SID: "SM1"}, now, p) },
		"it has arrived, too": func(m *Message, now time.Time) { m.evidence(m.log[0], AttemptDelivered, Receipt{SID: "SM1"}, now, p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := ofTwo(t, p)
			now := m.newest().StartedAt.Time
			m.outcome(m.attempt("t2"), Outcome{Class: Accepted, SID: "SM2"}, now, p)
			m.evidence(m.attempt("t2"), AttemptDelivered, Receipt{SID: "SM2"}, now, p)
			if m.State != StateDelivered || m.next == nil || m.next.job != Poll {
				t.Fatalf("delivered, the other unknown: %s and %v", m.State, m.next)
			}
			m.next = nil
			for _, a := range m.log {
				a.changed = false
			}
			news(m, now.Add(time.Minute))
			if m.State != StateDelivered || m.next == nil || m.next.job != "" {
				t.Errorf("got %s and %v, want nothing to be due", m.State, m.next)
			}
		})
	}
}

// That a number which is not the resident's any more cannot be told needs nobody.
func TestFormerNumberNeedsNobody(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	for name, end := range map[string]func(*Message){
		"rejected": func(m *Message) {
			m.outcome(m.newest(), Outcome{Class: Rejected, Disposition: Permanent, Code: 21211}, noon, p)
		},
		"opted out": func(m *Message) {
			m.outcome(m.newest(), Outcome{Class: Rejected, Disposition: OptedOut, Code: 21610}, noon, p)
		},
		"not found": func(m *Message) {
			p := p
			p.Further = 0
			m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p)
			m.missAll(noon, p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := inFlight()
			m.Recipient = event.Former
			end(m)
			if m.State != StateSuppressed || m.Reason == "" || m.next != nil && m.next.job != "" {
				t.Errorf("%s (%s), then %+v", m.State, m.Reason, m.next)
			}
		})
	}
}

// No number of failures, and no time, ends a text that is still of use: only the appointment does.
func TestRetriesDoNotGiveUp(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m := inFlight()
	now := noon
	for i := range 1000 { // more than three days at the longest pause
		m.outcome(m.newest(), Outcome{Class: NotSent}, now, p)
		if m.State != Pending || m.Reason == "" || m.next == nil || m.next.job != Send || m.next.at.Sub(now) > 2*p.LongestPause {
			t.Fatalf("after failure %d, %s later: %s (%s), then %+v", i+1, now.Sub(noon), m.State, m.Reason, m.next)
		}
		now = m.next.at
		m.begin(fmt.Sprint("again ", i), []byte("hash"), now, now.Add(p.Lease))
	}
}
