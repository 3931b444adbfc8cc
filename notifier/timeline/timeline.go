// Package timeline tells the story of one reservation, from the click to the phone: the only package that looks back over all
// stages. It reads what booking and the notifier keep, in one snapshot, and changes nothing.
package timeline

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ansim/booking"
	"ansim/notifier"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// Type is what happened. The words are part of the HTTP contract.
type Type string

// The types of entries, in the order in which they can follow each other.
const (
	Booked          Type = "booked"
	Rescheduled     Type = "rescheduled"
	Corrected       Type = "contact-corrected"
	Cancelled       Type = "cancelled"
	ResendRequested Type = "resend-requested"
	Queued          Type = "text-queued"      // the notifier has it
	Handed          Type = "text-handed-over" // a request to the provider began
	NotSent         Type = "text-not-sent"    // that request did not reach the provider
	Refused         Type = "text-refused"     // the provider answered that it does not take it
	Unknown         Type = "text-unknown"     // the answer was lost
	Accepted        Type = "text-accepted"    // the provider has taken it
	Found           Type = "text-found"       // it had, though its answer was lost
	OnItsWay        Type = "text-sent"        // the carrier has it
	Delivered       Type = "text-delivered"
	Undelivered     Type = "text-undelivered" // the carrier or the provider gave it up
	Unconfirmed     Type = "text-unconfirmed" // nobody has said for days whether it arrived
	Held            Type = "text-held"        // a person has to decide
	Failed          Type = "text-failed"
	Suppressed      Type = "text-suppressed" // not to be sent any more
)

// order is the place of a type among entries of one instant.
func (t Type) order() int { return slices.Index(types, t) }

var types = []Type{Booked, Rescheduled, Corrected, Cancelled, ResendRequested, Queued, Handed, NotSent, Refused, Unknown, Accepted,
	Found, OnItsWay, Delivered, Undelivered, Unconfirmed, Held, Failed, Suppressed}

// Entry is one thing that happened. Fields that its type does not have are zero.
type Entry struct {
	At        time.Time // in the programme's zone
	Type      Type
	Version   int             // of the reservation
	Slot      *booking.Slot   // of Booked and Rescheduled
	Recipient event.Recipient // of texts
	Kind      notifier.Kind   // of texts
	Resend    int             // of texts and requests for them: the number of the resend, 0 for none
	Attempt   int             // of what was done with a text: the number of the attempt
	Reason    string          // why, in the notifier's words
	Note      string          // of ResendRequested: why, in the asking person's words
	By        string          // of ResendRequested: who asked; see booking.ResendOrder
}

// Read tells the story of a reservation, oldest first. booking.ErrNotFound when there is none.
func Read(ctx context.Context, db *sqldb.DB, reservationID string) ([]Entry, error) {
	var entries []Entry
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		story, err := booking.ReadStory(ctx, tx, reservationID)
		if err != nil {
			return err
		}
		texts, err := notifier.ReadStory(ctx, tx, reservationID)
		if err != nil {
			return err
		}
		entries = tell(story, texts)
		return nil
	})
	return entries, err
}

// tell puts the stages' stories into one.
func tell(story booking.Story, texts []notifier.TextStory) []Entry {
	var t teller
	for i, v := range story.Versions {
		t.version(v, story.Versions[:i])
	}
	for _, a := range story.Asked {
		for _, to := range a.Recipients {
			t.add(Entry{At: a.At, Type: ResendRequested, Version: a.Version, Recipient: to, Resend: a.Number, Note: a.Reason, By: a.By})
		}
	}
	for _, m := range texts {
		t.text(m)
	}
	for i := range t.entries {
		t.entries[i].At = t.entries[i].At.In(story.Zone)
	}
	slices.SortStableFunc(t.entries, func(x, y Entry) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Version, y.Version), cmp.Compare(x.Attempt, y.Attempt), cmp.Compare(x.Type.order(), y.Type.order()))
	})
	return t.entries
}

type teller struct{ entries []Entry }

func (t *teller) add(e Entry) { t.entries = append(t.entries, e) }

func (t *teller) version(v booking.Version, before []booking.Version) {
	e := Entry{At: v.Since, Version: v.Number}
	switch {
	case v.Status == booking.StatusCancelled:
		e.Type = Cancelled
	case len(before) == 0:
		e.Type, e.Slot = Booked, &v.Slot
	case before[len(before)-1].Slot.ID != v.Slot.ID:
		e.Type, e.Slot = Rescheduled, &v.Slot
	default:
		e.Type = Corrected
	}
	t.add(e)
}

func (t *teller) text(m notifier.TextStory) {
	of := Entry{Version: m.Version, Recipient: m.Recipient, Kind: m.Kind, Resend: m.Resend}
	say := func(what Type, at time.Time, attempt int, reason string) {
		e := of
		e.Type, e.At, e.Attempt, e.Reason = what, at, attempt, reason
		t.add(e)
	}
	say(Queued, m.CreatedAt.Time, 0, "")
	for _, a := range m.Attempts {
		tellAttempt(a, func(what Type, at time.Time, reason string) { say(what, at, a.N, reason) })
	}
	switch {
	case m.State == notifier.StateSuppressed:
		say(Suppressed, m.UpdatedAt.Time, 0, m.Reason)
	case m.State == notifier.StateHeld:
		say(Held, m.UpdatedAt.Time, 0, m.Reason)
	case m.State == notifier.StateFailed:
		say(Failed, m.UpdatedAt.Time, 0, m.Reason)
	case m.Reason == notifier.ReasonUnconfirmed:
		say(Unconfirmed, m.UpdatedAt.Time, 0, m.Reason)
	}
}

// tellAttempt says what became of one request: its end, and what the provider said later.
func tellAttempt(a notifier.AttemptStory, say func(what Type, at time.Time, reason string)) {
	say(Handed, a.StartedAt.Time, "")
	lost := a.UnknownAt != nil
	switch {
	case lost:
		say(Unknown, a.UnknownAt.Time, notifier.ReasonAnswerLost)
	case a.FinishedAt == nil:
	case a.State == notifier.AttemptNotSent:
		say(NotSent, a.FinishedAt.Time, notifier.ReasonNotReached)
	case a.State == notifier.AttemptRejected:
		say(Refused, a.FinishedAt.Time, notifier.ReasonOfCode(a.ErrorCode))
	case a.Taken():
		say(Accepted, a.FinishedAt.Time, "")
	}
	for i, r := range a.Receipts {
		if lost && i == 0 {
			say(Found, r.ReceivedAt.Time, "")
		}
		switch r.Status {
		case "sent":
			say(OnItsWay, r.ReceivedAt.Time, "")
		case "delivered", "read":
			say(Delivered, r.ReceivedAt.Time, "")
		case "undelivered", "failed", "canceled":
			say(Undelivered, r.ReceivedAt.Time, notifier.ReasonOfCode(r.ErrorCode))
		}
	}
}
