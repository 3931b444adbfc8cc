package api

import (
	"context"
	"time"

	"ansim/booking"
)

// TextsReader tells what became of the texts of reservations, oldest text first. A reservation without texts yet may be
// missing in the answer.
type TextsReader interface {
	Texts(ctx context.Context, reservationIDs []string) (map[string][]Text, error)
}

// Text is one text as its sender has it.
type Text struct {
	Recipient   string // "resident" or "booker"
	Version     int    // of the reservation that it tells of
	Kind        string // "confirmation", "change", "cancellation" or "reminder"
	State       string // of the message: pending, sending, unknown, accepted, sent, delivered, undelivered, failed, held, suppressed
	Attempts    int
	AcceptedAt  *time.Time // by the provider; nil: not yet
	DeliveredAt *time.Time // at the phone; nil: not (yet) known
	Reason      string     // why it is in this state, "" when the state says all
}

// reservationJSON is a reservation as clients see it.
type reservationJSON struct {
	ID           string           `json:"id" format:"uuid"`
	Code         string           `json:"code" example:"K7Q29-3TX4M" doc:"What the person is told."`
	Version      int              `json:"version" minimum:"1" doc:"Also the ETag, in quotes."`
	Status       string           `json:"status" enum:"confirmed,cancelled"`
	Slot         slotJSON         `json:"slot"`
	Resident     personJSON       `json:"resident"`
	BookedBy     *personJSON      `json:"booked_by,omitempty"`
	Reference    string           `json:"reference,omitempty"`
	CreatedAt    string           `json:"created_at" format:"date-time"`
	Confirmation confirmationJSON `json:"confirmation" doc:"What became of the texts. In the answer to a booking or a cancellation: as it is at that instant, and so again when the answer is replayed."`
}

type reservationList struct {
	Reservations []reservationJSON `json:"reservations" nullable:"false" doc:"Newest first, at most 100."`
}

type slotJSON struct {
	ID       string `json:"id" example:"gangnam-0726-1030"`
	Site     string `json:"site" example:"gangnam"`
	StartsAt string `json:"starts_at" format:"date-time" doc:"With the offset of the programme's time zone."`
}

type personJSON struct {
	Name string `json:"name" example:"홍**" doc:"Masked."`
}

type confirmationJSON struct {
	State  string     `json:"state" enum:"pending,sent,delivered,undelivered,failed,held,suppressed" doc:"That of the resident's newest text."`
	Reason string     `json:"reason,omitempty" doc:"Why; looking-up: whether the provider took the text is being found out."`
	Texts  []textJSON `json:"texts" nullable:"false" doc:"Oldest first."`
}

type textJSON struct {
	Recipient   string  `json:"recipient" enum:"resident,booker"`
	Kind        string  `json:"kind" enum:"confirmation,change,cancellation,reminder"`
	State       string  `json:"state" enum:"pending,sent,delivered,undelivered,failed,held,suppressed"`
	Attempts    int     `json:"attempts" minimum:"0"`
	AcceptedAt  *string `json:"accepted_at" format:"date-time" nullable:"true"`
	DeliveredAt *string `json:"delivered_at" format:"date-time" nullable:"true"`
	Reason      string  `json:"reason,omitempty"`
}

func slotOf(s booking.Slot) slotJSON { return slotJSON{s.ID, s.SiteID, stamp(s.StartsAt)} }

func reservationOf(v booking.Reservation, confirmation confirmationJSON) reservationJSON {
	out := reservationJSON{
		ID: v.ID, Code: booking.FormatCode(v.Code), Version: v.Version, Status: v.Status, Slot: slotOf(v.Slot),
		Resident: personJSON{v.Name.String()}, Reference: v.Reference, CreatedAt: stamp(v.CreatedAt), Confirmation: confirmation,
	}
	if v.Booker != nil {
		out.BookedBy = &personJSON{v.Booker.Name.String()}
	}
	return out
}

const pending = "pending"

// confirmationAfter is the confirmation in the answer to the request that made v what it is: its texts were caused in the
// same commit and nothing has become of them yet. It is made without looking, so that a replay has the same body.
func confirmationAfter(v booking.Reservation) confirmationJSON {
	return confirmationJSON{State: pending, Texts: caused(v)}
}

// caused are the texts of v's present version before the notifier knows of them: they are committed in the outbox.
func caused(v booking.Reservation) []textJSON {
	kind := "change"
	switch {
	case v.Status == booking.StatusCancelled:
		kind = "cancellation"
	case v.Version == 1:
		kind = "confirmation"
	}
	texts := []textJSON{{Recipient: "resident", Kind: kind, State: pending}}
	if v.Booker != nil {
		texts = append(texts, textJSON{Recipient: "booker", Kind: kind, State: pending})
	}
	return texts
}

// confirmationOf is the confirmation of v as texts tell it. What its present version caused and the notifier has not got
// yet is pending; otherwise a cancelled reservation would show the state of its confirmation.
func confirmationOf(v booking.Reservation, texts []Text) confirmationJSON {
	c := confirmationJSON{State: pending, Texts: make([]textJSON, 0, len(texts)+2)}
	present := false
	for _, t := range texts {
		present = present || t.Version == v.Version
		state, reason := seen(t)
		c.Texts = append(c.Texts, textJSON{t.Recipient, t.Kind, state, t.Attempts,
			stampIn(t.AcceptedAt, v.Slot.StartsAt.Location()), stampIn(t.DeliveredAt, v.Slot.StartsAt.Location()), reason})
	}
	if !present {
		c.Texts = append(c.Texts, caused(v)...)
	}
	for _, t := range c.Texts {
		if t.Recipient == "resident" {
			c.State, c.Reason = t.State, t.Reason
		}
	}
	return c
}

// seen is a text's state as callers see it.
func seen(t Text) (state, reason string) {
	switch t.State {
	case "pending", "sending":
		return pending, t.Reason
	case "unknown":
		return pending, "looking-up"
	case "accepted", "sent":
		return "sent", t.Reason
	}
	return t.State, t.Reason
}

func stampIn(t *time.Time, zone *time.Location) *string {
	if t == nil {
		return nil
	}
	s := stamp(t.In(zone))
	return &s
}
