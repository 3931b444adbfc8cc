package notifier

import (
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
	Reminder     Kind = "reminder"
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
	ReasonSentAgain     = "sent-again"
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
	ReasonUnconfirmed   = "unconfirmed"
	ReasonLookingUp     = "looking-up" // what a caller is told while it is unknown
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

// undecided says that the text may have reached the provider without our knowing, or still may.
func (s AttemptState) undecided() bool { return s == AttemptOpen || s == AttemptUnknown }

// taken says that the provider has taken the text.
func (s AttemptState) taken() bool { return s.rank() >= AttemptAccepted.rank() }

// lost says that the provider had taken the text, and that it will not arrive.
func (s AttemptState) lost() bool { return s == AttemptFailed || s == AttemptUndelivered }

// alive says that the provider has taken the text, and that it may be on the phone or still get there.
func (s AttemptState) alive() bool { return s.taken() && !s.lost() }

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
	Attempts      int             `db:"attempts"`
	Failures      int             `db:"failures"`  // attempts in a row that count towards the pause before the next
	Looks         int             `db:"looks"`     // look-ups since it became unknown
	LookedAt      *sqldb.Time     `db:"looked_at"` // the last look-up that told something
	Polls         int             `db:"polls"`     // questions for a receipt since it was accepted
	EventAt       sqldb.Time      `db:"event_at"`
	AcceptedAt    *sqldb.Time     `db:"accepted_at"`
	DeliveredAt   *sqldb.Time     `db:"delivered_at"`

	log     []*Attempt // by n
	changed bool
	next    *plan // what becomes of its row in the queue; nil: it stays as it is
}

// Job is what a message's row in the queue is for.
type Job string

// The jobs.
const (
	Send   Job = "send"   // an attempt may begin
	Answer Job = "answer" // the lease of the open attempt ends
	Look   Job = "look"   // the provider is asked for a text whose answer was lost
	Poll   Job = "poll"   // the provider is asked for a receipt that did not come
	Person Job = "person" // somebody has to decide
)

// plan is a row of the queue; without a job there is none.
type plan struct {
	job Job
	at  time.Time
}

// The classes of priority, first served first; see weights.
const (
	first  = 0 // confirmations: "am I booked?"
	second = 1 // changes and cancellations
	third  = 2 // what somebody asked for again
	last   = 3 // reminders
)

// priority is m's class among what is to be sent.
func (m *Message) priority() int {
	switch {
	case m.Resend > 0:
		return third
	case m.Kind == Confirmation:
		return first
	case m.Kind == Reminder:
		return last
	}
	return second
}

// Attempt is one request to the provider.
type Attempt struct {
	Token      string       `db:"token"` // the second and 96 random bits, hex; in the callback's URL
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
	sidIsNew       bool // it became known since the attempt was read
}
