package notifier

import (
	"fmt"
	"slices"
	"time"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// Kind is what a text tells.
type Kind string

// The kinds of text.
const (
	Confirmation Kind = "confirmation"
	Change       Kind = "change"
	Cancellation Kind = "cancellation"
)

// kindOf is the text that an event leads to.
var kindOf = map[event.Type]Kind{event.Booked: Confirmation, event.Changed: Change, event.Cancelled: Cancellation}

// State is where a message stands; see the package comment.
type State string

// The states of a message.
const (
	Pending          State = "pending"
	Sending          State = "sending"
	StateUnknown     State = "unknown"
	StateAccepted    State = "accepted"
	StateSent        State = "sent"
	StateDelivered   State = "delivered"
	StateUndelivered State = "undelivered"
	StateFailed      State = "failed"
	StateHeld        State = "held"
	StateSuppressed  State = "suppressed"
)

// Reasons that a message carries beside its state; rejections and failures add "error-CODE".
const (
	ReasonCancelled     = "cancelled"
	ReasonMaybeSent     = "may-have-been-sent-then-cancelled"
	ReasonSuperseded    = "superseded"
	ReasonPast          = "appointment-past"
	ReasonNoRecipient   = "no-recipient"
	ReasonNoReservation = "no-reservation"
	ReasonCannotRender  = "cannot-render"
	ReasonOptedOut      = "opted-out"
	ReasonThrottled     = "throttled"
	ReasonNotReached    = "provider-not-reached"
	ReasonConfiguration = "provider-configuration"
	ReasonAnswerLost    = "answer-lost"
	ReasonLookupFailed  = "lookup-failed"
)

// AttemptState is what is known of one request to the provider.
type AttemptState string

// The states of an attempt, lowest first.
const (
	AttemptOpen        AttemptState = "open"
	AttemptUnknown     AttemptState = "unknown"
	AttemptNotSent     AttemptState = "not_sent"
	AttemptRejected    AttemptState = "rejected"
	AttemptAccepted    AttemptState = "accepted"
	AttemptSent        AttemptState = "sent"
	AttemptFailed      AttemptState = "failed"
	AttemptUndelivered AttemptState = "undelivered"
	AttemptDelivered   AttemptState = "delivered"
)

var attemptOrder = []AttemptState{
	AttemptOpen, AttemptUnknown, AttemptNotSent, AttemptRejected,
	AttemptAccepted, AttemptSent, AttemptFailed, AttemptUndelivered, AttemptDelivered,
}

// rank is the place of s in the order in which attempts move.
func (s AttemptState) rank() int { return slices.Index(attemptOrder, s) }

// taken says that the provider has taken the text.
func (s AttemptState) taken() bool { return s.rank() >= AttemptAccepted.rank() }

// attemptOf maps the provider's words for a message's status, from its callback or list, to what they prove.
// Source: Twilio's "Message Status Values"; read and delivered prove the same to us.
var attemptOf = map[string]AttemptState{
	"accepted": AttemptAccepted, "scheduled": AttemptAccepted, "queued": AttemptAccepted, "sending": AttemptAccepted,
	"sent":      AttemptSent,
	"delivered": AttemptDelivered, "read": AttemptDelivered,
	"undelivered": AttemptUndelivered,
	"failed":      AttemptFailed, "canceled": AttemptFailed,
}

// Message is one text to one person.
type Message struct {
	ID            string          `db:"id"`
	EventID       string          `db:"event_id"`
	ReservationID string          `db:"reservation_id"`
	Version       int             `db:"version"` // of the reservation
	Kind          Kind            `db:"kind"`
	Recipient     event.Recipient `db:"recipient"`
	Resend        int             `db:"resend"`
	State         State           `db:"state"`
	Reason        string          `db:"reason"`
	DueAt         sqldb.Time      `db:"due_at"` // pending: may be claimed; sending: the lease ends; unknown: the next look
	LeaseToken    string          `db:"lease_token"`
	Attempts      int             `db:"attempts"`
	Failures      int             `db:"failures"`  // attempts in a row that count towards the pause before the next
	Looks         int             `db:"looks"`     // look-ups since it became unknown
	LookedAt      *sqldb.Time     `db:"looked_at"` // the last look-up that told something
	EventAt       sqldb.Time      `db:"event_at"`
	AcceptedAt    *sqldb.Time     `db:"accepted_at"`
	DeliveredAt   *sqldb.Time     `db:"delivered_at"`

	log     []*Attempt // by n
	changed bool
}

// Attempt is one request to the provider.
type Attempt struct {
	Token      string       `db:"token"` // 128 random bits, hex; in the callback's URL
	MessageID  string       `db:"message_id"`
	N          int          `db:"n"`
	State      AttemptState `db:"state"`
	BodyHash   []byte       `db:"body_hash"` // SHA-256 of the text
	SID        *string      `db:"provider_sid"`
	HTTPStatus int          `db:"http_status"`
	ErrorCode  int          `db:"error_code"`
	Detail     string       `db:"detail"`
	StartedAt  sqldb.Time   `db:"started_at"`
	UnknownAt  *sqldb.Time  `db:"unknown_at"`
	FinishedAt *sqldb.Time  `db:"finished_at"`

	isNew, changed bool
}

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

// begin opens a new attempt whose lease ends at leaseEnd.
func (m *Message) begin(token string, bodyHash []byte, now, leaseEnd time.Time) {
	m.Attempts++
	m.log = append(m.log, &Attempt{Token: token, MessageID: m.ID, N: m.Attempts, State: AttemptOpen, BodyHash: bodyHash,
		StartedAt: sqldb.At(now), isNew: true})
	m.move(Sending, "")
	m.DueAt = sqldb.At(leaseEnd)
}

// finish gives m a state in which nothing more is due.
func (m *Message) finish(s State, reason string) {
	m.move(s, reason)
	m.LeaseToken = ""
}

func (m *Message) move(s State, reason string) {
	m.State, m.Reason, m.changed = s, reason, true
}

// wait makes m pending again, due after d.
func (m *Message) wait(now time.Time, d time.Duration, reason string) {
	m.move(Pending, reason)
	m.LeaseToken, m.DueAt = "", sqldb.At(now.Add(d))
}

// becomeUnknown plans the looks for an attempt whose answer was lost.
func (m *Message) becomeUnknown(a *Attempt, now time.Time, p Policy) {
	if !a.raise(AttemptUnknown) {
		return
	}
	a.UnknownAt = sqldb.AtPtr(now)
	if a == m.newest() && m.State == Sending {
		m.move(StateUnknown, ReasonAnswerLost)
		m.LeaseToken, m.Looks, m.DueAt = "", 0, sqldb.At(now.Add(p.Looks[0]))
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
		m.evidence(a, AttemptAccepted, o.SID, 0, now)
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
	m.settle()
}

// decidedBy says whether what becomes of a is what becomes of m: a is the newest, and m still waits for it.
func (m *Message) decidedBy(a *Attempt) bool {
	return a == m.newest() && (m.State == Sending || m.State == StateUnknown)
}

func (m *Message) notSent(o Outcome, now time.Time, p Policy) {
	if o.Throttled {
		// No failure of the text's own. But it does not ask every second all night.
		m.wait(now, o.RetryAfter+min(p.pause(m.Attempts), longestThrottle), ReasonThrottled)
		return
	}
	m.Failures++
	m.wait(now, p.pause(m.Failures), ReasonNotReached)
}

// longestThrottle bounds what is added to the provider's own Retry-After.
const longestThrottle = 30 * time.Second

func (m *Message) rejected(o Outcome, now time.Time, p Policy) {
	reason := fmt.Sprintf("error-%d", o.Code)
	switch o.Disposition {
	case OptedOut:
		m.finish(StateFailed, ReasonOptedOut)
	case Configuration:
		m.wait(now, p.jitter(p.ConfigurationPause), ReasonConfiguration)
	case Later:
		m.Failures++
		m.wait(now, p.pause(m.Failures), reason)
	default: // Permanent, and whatever is not known to pass
		m.finish(StateFailed, reason)
	}
}

// evidence raises a to what the provider said of it. It returns false, and changes nothing, when the SID is not a's.
func (m *Message) evidence(a *Attempt, s AttemptState, sid string, code int, now time.Time) bool {
	if a.SID != nil && *a.SID != sid {
		return false
	}
	if a.SID == nil {
		a.SID, a.changed = &sid, true
	}
	if a.raise(s) {
		if code != 0 {
			a.ErrorCode = code
		}
		if m.AcceptedAt == nil {
			m.AcceptedAt, m.changed = sqldb.AtPtr(now), true
		}
		if s == AttemptDelivered && m.DeliveredAt == nil {
			m.DeliveredAt, m.changed = sqldb.AtPtr(now), true
		}
	}
	m.settle()
	return true
}

// settle makes m's state follow from its attempts once the provider has taken one of them. While the newest is still in
// flight only a delivery ends the message: the flight's own end comes soon.
func (m *Message) settle() {
	var best *Attempt
	for _, a := range m.log {
		if a.State == AttemptDelivered {
			best = a
			break
		}
		if a.State.taken() {
			best = a
		}
	}
	if best == nil || (m.newest().State == AttemptOpen && best.State != AttemptDelivered) {
		return
	}
	state := State(best.State) // the words are the same from accepted on
	reason := ""
	if state == StateUndelivered || state == StateFailed {
		reason = fmt.Sprintf("error-%d", best.ErrorCode)
	}
	if m.State != state || m.Reason != reason {
		m.finish(state, reason)
	}
}

// expire ends the lease of a message whose process did not come back: an open attempt may have reached the provider.
func (m *Message) expire(now time.Time, p Policy) {
	if a := m.newest(); m.State == Sending && a != nil {
		m.becomeUnknown(a, now, p)
		m.settle()
	}
}

// missed records a look that found nothing, and after the last one lets the kind's policy decide.
func (m *Message) missed(now time.Time, p Policy) {
	if m.State != StateUnknown {
		return
	}
	m.Looks++
	m.LeaseToken, m.LookedAt, m.changed = "", sqldb.AtPtr(now), true
	if since := m.unknownSince(); m.Looks < len(p.Looks) {
		m.DueAt = sqldb.At(since.Add(p.Looks[m.Looks]))
		return
	}
	if m.unknowns() > p.Further {
		m.finish(StateHeld, ReasonAnswerLost)
		return
	}
	// The same text with the same code again: a second copy would be harmless, none would not. The sender looks at the
	// reservation once more before it starts. It goes ahead of the queue, so that it starts soon after this look.
	m.wait(now, 0, ReasonAnswerLost)
	m.DueAt = m.EventAt
}

// lookBefore is how long before a further attempt the last look for the earlier ones may be.
const lookBefore = 10 * time.Second

// stale says that a further attempt would begin too long after the last look for the earlier ones, which may have shown up
// since: it waited for the provider, or for its turn.
func (m *Message) stale(now time.Time) bool {
	return m.unknowns() > 0 && (m.LookedAt == nil || now.Sub(m.LookedAt.Time) > lookBefore)
}

// lookAgain makes m unknown once more, for one look that is due at once.
func (m *Message) lookAgain(now time.Time, p Policy) {
	m.move(StateUnknown, ReasonAnswerLost)
	m.LeaseToken, m.Looks, m.DueAt = "", len(p.Looks)-1, sqldb.At(now)
}

// lookFailed plans the next look after one that told nothing. It does not count as a miss; but after p.GiveUp a person
// must know.
func (m *Message) lookFailed(now time.Time, p Policy) {
	if m.State != StateUnknown {
		return
	}
	if now.Sub(m.unknownSince()) >= p.GiveUp {
		m.finish(StateHeld, ReasonLookupFailed)
		return
	}
	m.LeaseToken, m.changed = "", true
	m.DueAt = sqldb.At(now.Add(p.jitter(p.Looks[0])))
}

// unknownSince is when the newest of the unknown attempts became so.
func (m *Message) unknownSince() time.Time {
	since := m.DueAt.Time
	for _, a := range m.log {
		if a.State == AttemptUnknown && a.UnknownAt != nil {
			since = a.UnknownAt.Time
		}
	}
	return since
}

// unknowns is how many attempts may have reached the provider without our knowing.
func (m *Message) unknowns() int {
	n := 0
	for _, a := range m.log {
		if a.State == AttemptUnknown {
			n++
		}
	}
	return n
}
