package notifier

import (
	"fmt"
	"slices"
	"time"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// raise moves a up to s; it reports whether that was a move.
func (a *Attempt) raise(s AttemptState) bool {
	if s.rank() <= a.State.rank() {
		return false
	}
	a.State, a.changed = s, true
	return true
}

// newest is the attempt with the highest n, nil when there is none.
func (m *Message) newest() *Attempt {
	if len(m.log) == 0 {
		return nil
	}
	return m.log[len(m.log)-1]
}

// attempt finds an attempt by its token.
func (m *Message) attempt(token string) *Attempt {
	for _, a := range m.log {
		if a.Token == token {
			return a
		}
	}
	return nil
}

// count is how many attempts are in a state that is says yes to.
func (m *Message) count(is func(AttemptState) bool) (n int) {
	for _, a := range m.log {
		if is(a.State) {
			n++
		}
	}
	return n
}

// unknowns is how many attempts may have reached the provider without our knowing.
func (m *Message) unknowns() int {
	return m.count(func(s AttemptState) bool { return s == AttemptUnknown })
}

func (m *Message) move(s State, reason string) {
	m.State, m.Reason, m.changed = s, reason, true
}

// plan puts m into the queue.
func (m *Message) plan(job Job, at time.Time) { m.next = &plan{job, at} }

// begin opens a new attempt whose lease ends at leaseEnd.
func (m *Message) begin(token string, bodyHash []byte, now, leaseEnd time.Time) {
	m.Attempts++
	m.log = append(m.log, &Attempt{Token: token, MessageID: m.ID, N: m.Attempts, State: AttemptOpen, BodyHash: bodyHash,
		StartedAt: sqldb.At(now), isNew: true})
	m.move(Sending, "")
	m.plan(Answer, leaseEnd)
}

// finish gives m a state in which nothing more happens by itself. What a person has to see to stays in the queue. That a number
// which is not the resident's any more could not be told is nobody's business: it may never have been anybody's.
func (m *Message) finish(s State, reason string, now time.Time) {
	if m.Recipient == event.Former && (s == StateHeld || s == StateFailed) {
		s = StateSuppressed
	}
	m.move(s, reason)
	if s == StateHeld || s == StateFailed {
		m.plan(Person, now)
	} else {
		m.plan("", now)
	}
}

// wait makes m pending again, due after d.
func (m *Message) wait(now time.Time, d time.Duration, reason string) {
	m.move(Pending, reason)
	m.plan(Send, now.Add(d))
}

// becomeUnknown plans the looks for an attempt whose answer was lost.
func (m *Message) becomeUnknown(a *Attempt, now time.Time, p Policy) {
	if !a.raise(AttemptUnknown) {
		return
	}
	a.UnknownAt = sqldb.AtPtr(now)
	if a == m.newest() && m.State == Sending {
		m.move(StateUnknown, ReasonAnswerLost)
		m.Looks = 0
		m.plan(Look, now.Add(p.Looks[0]))
	}
}

// outcome applies what the request of attempt a showed. It is evidence about a alone, so it needs no lease: it may come
// after the lease ran out, and after another attempt was begun.
func (m *Message) outcome(a *Attempt, o Outcome, now time.Time, p Policy) {
	if a.FinishedAt == nil {
		a.FinishedAt, a.changed = sqldb.AtPtr(now), true
		a.HTTPStatus, a.Detail = o.HTTPStatus, o.Detail
		if a.ErrorCode == 0 {
			a.ErrorCode = o.Code
		}
	}
	switch o.Class {
	case Accepted:
		m.evidence(a, AttemptAccepted, Receipt{SID: o.SID}, now, p)
		return
	case Unknown:
		m.becomeUnknown(a, now, p)
	case NotSent:
		if a.raise(AttemptNotSent) && m.decidedBy(a) {
			m.notSent(o, now, p)
		}
	case Rejected:
		if a.raise(AttemptRejected) && m.decidedBy(a) {
			m.rejected(o, now, p)
		}
	}
	m.settle(now, p)
}

// decidedBy says whether what becomes of a is what becomes of m: a is the newest, and m still waits for it.
func (m *Message) decidedBy(a *Attempt) bool {
	return a == m.newest() && (m.State == Sending || m.State == StateUnknown)
}

func (m *Message) notSent(o Outcome, now time.Time, p Policy) {
	if o.Throttled { // no failure of the text's own; how fast the next ones go is the pacer's business
		m.wait(now, o.RetryAfter+p.jitter(p.FirstPause), ReasonThrottled)
		return
	}
	m.Failures++
	m.wait(now, p.pause(m.Failures), ReasonNotReached)
}

func (m *Message) rejected(o Outcome, now time.Time, p Policy) {
	switch o.Disposition {
	case OptedOut:
		m.finish(StateFailed, ReasonOptedOut, now)
	case Configuration:
		m.wait(now, p.jitter(p.ConfigurationPause), ReasonConfiguration)
	case Later:
		m.Failures++
		m.wait(now, p.pause(m.Failures), errorReason(o.Code))
	default: // Permanent, and whatever is not known to pass
		m.finish(StateFailed, errorReason(o.Code), now)
	}
}

// errorReason is the reason that names the provider's error code.
func errorReason(code int) string { return fmt.Sprintf("error-%d", code) }

// evidence raises a to what the provider said of it. It returns false, and changes nothing, when the SID is not a's.
func (m *Message) evidence(a *Attempt, s AttemptState, rc Receipt, now time.Time, p Policy) bool {
	if a.SID != nil && *a.SID != rc.SID {
		return false
	}
	if a.SID == nil {
		a.SID, a.sidIsNew, a.changed = &rc.SID, true, true
	}
	moved := a.raise(s)
	if moved {
		if rc.ErrorCode != 0 {
			a.ErrorCode = rc.ErrorCode
		}
		if m.AcceptedAt == nil {
			m.AcceptedAt, m.changed = sqldb.AtPtr(now), true
		}
		if s == AttemptDelivered && m.DeliveredAt == nil {
			m.DeliveredAt, m.changed = sqldb.AtPtr(now), true
		}
	}
	m.settle(now, p)
	if moved && s.lost() {
		m.lost(a, rc.Disposition, now, p)
	}
	return true
}

// settle makes m's state follow from the attempts that the provider has taken. While the newest is in flight only a delivery
// ends the message: the flight's own end comes soon.
func (m *Message) settle(now time.Time, p Policy) {
	var best *Attempt
	for _, a := range m.log {
		switch {
		case a.State == AttemptDelivered:
			best = a
		case a.State.alive() && (best == nil || best.State != AttemptDelivered):
			best = a
		}
	}
	if best == nil {
		if m.State == StateUnknown && m.unknowns() == 0 { // late news has told of the last that was looked for
			m.wait(now, 0, ReasonNotReached)
		}
		return
	}
	if m.newest().State == AttemptOpen && best.State != AttemptDelivered {
		return
	}
	state := State(best.State) // the words are the same from accepted on
	if m.State == state {
		if state == StateDelivered && m.news() && m.count(AttemptState.undecided) == 0 {
			m.plan("", now) // what it still was to be asked for has come by itself
		}
		return
	}
	asked := m.onItsWay() && m.Reason != ReasonUnconfirmed
	m.move(state, "")
	switch {
	case state == StateDelivered && m.count(AttemptState.undecided) > 0:
		m.Polls = 0
		// Once more: did another attempt, which was given up or is still in flight, arrive as well? Its flight has ended by then;
		// what is newer waits for that.
		if m.newest().State == AttemptOpen {
			m.plan(Poll, now.Add(p.Lease))
		} else {
			m.plan(Poll, now.Add(max(p.Polls[0], p.Lease)))
		}
	case state == StateDelivered:
		m.plan("", now)
	case !asked:
		m.Polls = 0
		m.plan(Poll, now.Add(p.jitter(p.Polls[0])))
	}
}

// news says that something became known of one of m's attempts since it was read.
func (m *Message) news() bool {
	return slices.ContainsFunc(m.log, func(a *Attempt) bool { return a.changed })
}

// onItsWay says that m waits for the receipt of a text that the provider has taken.
func (m *Message) onItsWay() bool { return m.State == StateAccepted || m.State == StateSent }

// lost decides what follows when attempt a, which the provider had taken, will not arrive: a further attempt while that may
// help, or the end, which a person sees. It waits for attempts that may still arrive.
func (m *Message) lost(a *Attempt, d Disposition, now time.Time, p Policy) {
	newest := m.newest()
	switch {
	case m.State == StateSuppressed, m.State == StateHeld, newest.State == AttemptOpen, m.count(AttemptState.alive) > 0:
		return // a held one has attempts of which nothing is known, and a person to decide
	case a == newest:
	case !m.onItsWay(): // m does not wait for a, but for what came of a later attempt
		return
	case newest.State == AttemptUnknown: // a was what m relied on; now it matters what became of the later one
		m.move(StateUnknown, ReasonAnswerLost)
		m.Looks = 0
		m.plan(Look, now)
		return
	}
	lost := m.count(AttemptState.lost)
	switch {
	case d == Permanent, d == OptedOut, lost > len(p.Arrivals):
		reason := errorReason(a.ErrorCode)
		if d == OptedOut {
			reason = ReasonOptedOut
		}
		m.finish(StateFailed, reason, now)
	case d == Configuration:
		m.move(StateUndelivered, errorReason(a.ErrorCode))
		m.plan(Send, now.Add(p.jitter(p.ConfigurationPause)))
	default:
		m.move(StateUndelivered, errorReason(a.ErrorCode))
		m.plan(Send, now.Add(p.jitter(p.Arrivals[lost-1])))
	}
}

// expire ends the lease of a message whose process did not come back: an open attempt may have reached the provider.
func (m *Message) expire(now time.Time, p Policy) {
	if a := m.newest(); m.State == Sending && a != nil {
		m.becomeUnknown(a, now, p)
		m.settle(now, p)
	}
}

// missed records a look that found nothing in the list as it was at asked, and after the last one lets the kind's policy
// decide. A look that came late stands for all that were due by then but the last, which comes as long after the one before
// as it always does: when it is the clock that went ahead, a list that lags may not show yet what was taken a moment ago.
func (m *Message) missed(now, asked time.Time, p Policy) {
	if m.State != StateUnknown {
		return
	}
	since := m.unknownSince(now)
	m.LookedAt, m.changed = sqldb.AtPtr(asked), true
	last := len(p.Looks) - 1
	for m.Looks++; m.Looks < last && !now.Before(since.Add(p.Looks[m.Looks])); {
		m.Looks++
	}
	if m.Looks <= last {
		at := since.Add(p.Looks[m.Looks])
		if m.Looks == last {
			if soonest := now.Add(p.Looks[last] - p.Looks[last-1]); at.Before(soonest) {
				at = soonest
			}
		}
		m.plan(Look, at)
		return
	}
	if m.unknowns() > p.Further {
		m.finish(StateHeld, ReasonAnswerLost, now)
		return
	}
	// The same text with the same code again: a second copy would be harmless, none would not. The sender looks at the
	// reservation once more before it starts. It goes ahead of the queue, so that it starts soon after this look.
	m.wait(now, 0, ReasonAnswerLost)
	m.plan(Send, m.EventAt.Time)
}

// lookBefore is how long before a further attempt the last look for the earlier ones may be.
const lookBefore = 10 * time.Second

// stale says that a further attempt would begin too long after the last look for the earlier ones, which may have shown up
// since: it waited for the provider, or for its turn. A look that seems to lie ahead is from before the clock was set back.
func (m *Message) stale(now time.Time) bool {
	return m.unknowns() > 0 && (m.LookedAt == nil || now.Sub(m.LookedAt.Time).Abs() > lookBefore)
}

// lookAgain makes m unknown once more, for one look that is due at once.
func (m *Message) lookAgain(now time.Time, p Policy) {
	m.move(StateUnknown, ReasonAnswerLost)
	m.Looks = len(p.Looks) - 1
	m.plan(Look, now)
}

// lookFailed plans the next look after one that told nothing. It does not count as a miss; but after p.GiveUp a person
// must know.
func (m *Message) lookFailed(now time.Time, p Policy) {
	if m.State != StateUnknown {
		return
	}
	if now.Sub(m.unknownSince(now)) >= p.GiveUp {
		m.finish(StateHeld, ReasonLookupFailed, now)
		return
	}
	m.plan(Look, now.Add(p.jitter(p.Looks[0])))
}

// polled records a question for a receipt that brought nothing new, and plans the next; after the last one m says that
// nobody confirmed it. When m has ended, the question was for earlier attempts, and one is enough.
func (m *Message) polled(now time.Time, p Policy) {
	if m.State == StateDelivered {
		if a := m.newest(); a.State == AttemptOpen { // its process did not come back to it: now it can be looked for
			m.becomeUnknown(a, now, p)
			m.plan(Poll, now)
			return
		}
		m.plan("", now)
		return
	}
	if !m.onItsWay() {
		return
	}
	m.Polls++
	m.changed = true
	switch n := m.Polls; {
	case n < len(p.Polls):
		m.plan(Poll, now.Add(p.jitter(p.Polls[n]-p.Polls[n-1])))
	case n == len(p.Polls):
		m.plan(Poll, now.Add(p.Unconfirmed-p.Polls[n-1]))
	default:
		m.finish(m.State, ReasonUnconfirmed, now)
	}
}

// pollFailed plans the next question for a receipt after one that could not be asked. It does not count as asked; but when the
// time for the last one has passed, m says that nobody confirmed it.
func (m *Message) pollFailed(now time.Time, p Policy) {
	if !m.onItsWay() {
		return
	}
	if m.AcceptedAt != nil && now.Sub(m.AcceptedAt.Time) >= p.Unconfirmed {
		m.finish(m.State, ReasonUnconfirmed, now)
		return
	}
	m.plan(Poll, now.Add(p.jitter(p.Polls[0])))
}

// unknownSince is when the newest of the unknown attempts became so; now when there is none.
func (m *Message) unknownSince(now time.Time) time.Time {
	since := now
	for _, a := range m.log {
		if a.State == AttemptUnknown && a.UnknownAt != nil {
			since = a.UnknownAt.Time
		}
	}
	return since
}
