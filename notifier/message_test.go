package notifier

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ansim/schema/sqldb"
)

var noon = time.Date(2021, 7, 19, 12, 0, 0, 0, time.UTC)

// inFlight is a confirmation whose first attempt was just begun.
func inFlight() *Message {
	m := &Message{ID: "m", Kind: Confirmation, State: Pending, EventAt: sqldb.At(noon)}
	m.begin("t1", []byte("hash"), noon, noon.Add(time.Minute))
	return m
}

func TestOutcomeDecidesTheMessage(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	for _, c := range []struct {
		name     string
		o        Outcome
		state    State
		reason   string
		attempt  AttemptState
		failures int
		dueIn    [2]time.Duration // bounds of the next due time; zero: nothing is due
	}{
		{"accepted", Outcome{Class: Accepted, SID: "SM1"}, StateAccepted, "", AttemptAccepted, 0, [2]time.Duration{}},
		{"not written", Outcome{Class: NotSent, Detail: "dial"}, Pending, ReasonNotReached, AttemptNotSent, 1,
			[2]time.Duration{time.Second / 2, 3 * time.Second / 2}},
		{"429 costs no attempt", Outcome{Class: NotSent, Throttled: true, RetryAfter: 7 * time.Second}, Pending, ReasonThrottled,
			AttemptNotSent, 0, [2]time.Duration{7 * time.Second, 7*time.Second + 3*time.Second/2}},
		{"permanent", Outcome{Class: Rejected, Disposition: Permanent, Code: 21211}, StateFailed, "error-21211", AttemptRejected, 0,
			[2]time.Duration{}},
		{"opted out", Outcome{Class: Rejected, Disposition: OptedOut, Code: 21610}, StateFailed, ReasonOptedOut, AttemptRejected, 0,
			[2]time.Duration{}},
		{"configuration burns nothing", Outcome{Class: Rejected, Disposition: Configuration, Code: 20003}, Pending, ReasonConfiguration,
			AttemptRejected, 0, [2]time.Duration{15 * time.Second, 45 * time.Second}},
		{"later", Outcome{Class: Rejected, Disposition: Later, Code: 14107}, Pending, "error-14107", AttemptRejected, 1,
			[2]time.Duration{time.Second / 2, 3 * time.Second / 2}},
		{"unknown", Outcome{Class: Unknown, Detail: "timeout"}, StateUnknown, ReasonAnswerLost, AttemptUnknown, 0,
			[2]time.Duration{5 * time.Second, 5 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := inFlight()
			m.outcome(m.newest(), c.o, noon, p)
			if m.State != c.state || m.Reason != c.reason || m.newest().State != c.attempt || m.Failures != c.failures {
				t.Errorf("got %s (%s), attempt %s, %d failures", m.State, m.Reason, m.newest().State, m.Failures)
			}
			if c.dueIn[1] > 0 {
				if in := m.next.at.Sub(noon); in < c.dueIn[0] || in > c.dueIn[1] {
					t.Errorf("due in %s, want %s to %s", in, c.dueIn[0], c.dueIn[1])
				}
			}
		})
	}
}

func TestLooksEndInAFurtherAttemptAndThenWithAPerson(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m, now := inFlight(), noon
	for further := range p.Further + 1 {
		m.outcome(m.newest(), Outcome{Class: Unknown}, now, p)
		for i, look := range p.Looks {
			if want := now.Add(look); m.State != StateUnknown || !m.next.at.Equal(want) {
				t.Fatalf("before look %d of attempt %d: %s due %s, want unknown due %s", i, further+1, m.State, m.next.at, want)
			}
			m.missed(now.Add(look), now.Add(look), p)
		}
		now = now.Add(p.Looks[len(p.Looks)-1])
		if further == p.Further {
			break
		}
		if m.State != Pending {
			t.Fatalf("after the last look of attempt %d: %s", further+1, m.State)
		}
		m.begin(fmt.Sprintf("t%d", further+2), []byte("hash"), now, now.Add(time.Minute))
	}
	if m.State != StateHeld || m.Attempts != p.Further+1 {
		t.Errorf("got %s after %d attempts, want held after %d", m.State, m.Attempts, p.Further+1)
	}
}

// TestAClockThatGoesAheadEndsNoLooks: all of them are due at once, but what was taken a moment ago may not be in the list yet.
func TestAClockThatGoesAheadEndsNoLooks(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m := inFlight()
	m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p)
	now := noon.Add(10 * time.Minute)
	m.missed(now, now, p)
	if want := now.Add(p.Looks[3] - p.Looks[2]); m.State != StateUnknown || !m.next.at.Equal(want) {
		t.Fatalf("after one look: %s, due %s; want unknown, due %s", m.State, m.next.at, want)
	}
	m.missed(m.next.at, m.next.at, p)
	if m.State != Pending {
		t.Errorf("after the last look: %s", m.State)
	}
}

func TestEvidenceBeatsEverything(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	for name, prepare := range map[string]func(*Message){
		"unknown":         func(m *Message) { m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p) },
		"about to repeat": func(m *Message) { m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p); m.wait(noon, 0, "") },
		"held":            func(m *Message) { m.becomeUnknown(m.newest(), noon, p); m.finish(StateHeld, ReasonAnswerLost, noon) },
		"suppressed": func(m *Message) {
			m.becomeUnknown(m.newest(), noon, p)
			m.finish(StateSuppressed, ReasonMaybeSent, noon)
		},
		"before the 201":  func(*Message) {},
		"called not sent": func(m *Message) { m.outcome(m.newest(), Outcome{Class: NotSent}, noon, p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := inFlight()
			prepare(m)
			if !m.evidence(m.attempt("t1"), AttemptSent, Receipt{SID: "SM1"}, noon, p) {
				t.Fatal("refused")
			}
			if m.State != StateSent || m.AcceptedAt == nil || m.next == nil || m.next.job != Poll {
				t.Errorf("got %s, accepted at %v", m.State, m.AcceptedAt)
			}
			if m.evidence(m.attempt("t1"), AttemptDelivered, Receipt{SID: "SM2"}, noon, p) {
				t.Error("took another text's receipt")
			}
		})
	}
}

func TestADeliveredOlderAttemptEndsTheMessage(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	m := inFlight()
	m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p)
	m.begin("t2", []byte("hash"), noon, noon.Add(time.Minute))
	m.evidence(m.attempt("t1"), AttemptAccepted, Receipt{SID: "SM1"}, noon, p)
	if m.State != Sending {
		t.Errorf("while the second is in flight: %s", m.State)
	}
	m.outcome(m.attempt("t2"), Outcome{Class: NotSent}, noon, p)
	if m.State != StateAccepted {
		t.Errorf("the second was not sent, the first was taken: %s, want accepted", m.State)
	}
	m.evidence(m.attempt("t1"), AttemptDelivered, Receipt{SID: "SM1"}, noon, p)
	if m.State != StateDelivered {
		t.Errorf("got %s", m.State)
	}
}

// TestReceiptsInAnyOrder: whatever the order and repetition of outcomes and receipts, the attempt ends in their highest, and
// the message says the same.
func TestReceiptsInAnyOrder(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	words := []string{"queued", "sending", "sent", "delivered", "undelivered", "failed", "accepted"}
	rapid.Check(t, func(t *rapid.T) {
		heard := rapid.SliceOfN(rapid.SampledFrom(words), 1, 8).Draw(t, "heard")
		answerAt := rapid.IntRange(0, len(heard)).Draw(t, "answerAt")
		order := rapid.Permutation(heard).Draw(t, "order")
		end := func(words []string, answerAt int) (AttemptState, State) {
			m := inFlight()
			for i, w := range words {
				if i == answerAt {
					m.outcome(m.newest(), Outcome{Class: Unknown}, noon, p)
				}
				m.evidence(m.newest(), attemptOf[w], Receipt{SID: "SM1", ErrorCode: 30008, Disposition: Permanent}, noon, p)
			}
			return m.newest().State, m.State
		}
		a1, m1 := end(heard, answerAt)
		a2, m2 := end(append(order, order...), 0)
		highest := AttemptOpen
		for _, w := range heard {
			if attemptOf[w].rank() > highest.rank() {
				highest = attemptOf[w]
			}
		}
		state := State(highest)
		if highest.lost() {
			state = StateFailed // for good, with this code
		}
		if diff := cmp.Diff([]any{highest, state, highest, state}, []any{a1, m1, a2, m2}); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}
