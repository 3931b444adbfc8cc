package notifier

import (
	"context"
	"errors"
	"time"

	"ansim/schema/personal"
)

// Provider hands texts to a telephone network. It classifies what it saw; what is done about it is the pipeline's business.
type Provider interface {
	// Send asks the provider, once, to send t. It never repeats the request by itself. The request ends when ctx does.
	Send(ctx context.Context, t Text) Outcome
	// Find lists texts to the number, newest first, down to those created before since. now is this moment by the clock that
	// since is of: where the provider's clock tells another time, Created is corrected to ours. An error means that the list
	// was not read to its end: what is returned beside it is there, and of the rest nothing is known. A text that a whole list
	// does not show proves nothing either: lists lag.
	Find(ctx context.Context, to personal.Phone, since, now time.Time) ([]Sighting, error)
	// Fetch asks for one text by the id that the provider gave it. The error wraps ErrNoSuchText when the provider says that
	// it has none; any other means that nothing is known.
	Fetch(ctx context.Context, sid string) (Sighting, error)
}

// ErrNoSuchText is what Fetch returns when the provider says that it has no text with this id.
var ErrNoSuchText = errors.New("the provider has no such text")

// Text is one request to the provider.
type Text struct {
	To    personal.Phone
	Body  string
	Token string        // of the attempt; the provider's callbacks carry it back
	Valid time.Duration // how long the provider may keep trying
}

// Class is what the evidence of a request proves.
type Class string

// The classes of an outcome.
const (
	// NotSent: the provider has not taken the text, for sure (nothing was written, or 429).
	NotSent Class = "not_sent"
	// Rejected: the provider says that it will not take it; Disposition says what that means for later.
	Rejected Class = "rejected"
	// Accepted: the provider has taken it and named it (SID).
	Accepted Class = "accepted"
	// Unknown: it was written, and no answer proves either.
	Unknown Class = "unknown"
)

// Disposition is what follows from a rejection.
type Disposition string

// The dispositions of a rejection.
const (
	Permanent     Disposition = "permanent"     // this text to this number will never be taken
	OptedOut      Disposition = "opted-out"     // the person asked the provider for no more texts
	Configuration Disposition = "configuration" // our account or settings; the next text would fare no better: pause, alarm
	Later         Disposition = "later"         // this text may be taken at another time
)

// Outcome is what one request to the provider showed.
type Outcome struct {
	Class       Class
	Disposition Disposition   // with Rejected
	SID         string        // with Accepted
	HTTPStatus  int           // 0 when there was no answer
	Code        int           // the provider's error code, 0 when none
	Throttled   bool          // with NotSent: the provider said 429; costs no attempt
	RetryAfter  time.Duration // with Throttled, 0 when it said nothing
	Unlisted    bool          // Code is one that the provider's table does not hold; its disposition is the safe default
	Detail      string        // a short word for the log and for people: "dial", "timeout", "reset", "no-sid", …; never from the answer
}

// Sighting is a text as the provider shows it.
type Sighting struct {
	SID         string
	Body        string
	Status      string
	ErrorCode   int         // 0 when none
	Disposition Disposition // of the error code, "" when none: what a text's end means for a further attempt
	Created     time.Time
}
