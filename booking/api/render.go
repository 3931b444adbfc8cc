package api

import (
	"context"
	"time"

	"ansim/booking"
	"ansim/schema/event"
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
	Resend      int    // 0, or the number of the resend that caused it
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
	Reference    string           `json:"reference,omitempty" example:"A-1029"`
	CreatedAt    string           `json:"created_at" format:"date-time" example:"2021-07-19T20:00:07+09:00"`
	Confirmation confirmationJSON `json:"confirmation" doc:"What became of the texts. In the answer to a booking, a cancellation or a resend: the texts that it caused, as they are at that instant, and so again when the answer is replayed."`
}

type reservationList struct {
	Reservations []reservationJSON `json:"reservations" nullable:"false" doc:"Newest first, at most 100."`
}

type slotJSON struct {
	ID       string `json:"id" example:"gangnam-0726-1030"`
	Site     string `json:"site" example:"gangnam"`
	StartsAt string `json:"starts_at" format:"date-time" example:"2021-07-26T10:30:00+09:00" doc:"With the offset of the programme's time zone."`
}

type personJSON struct {
	Name string `json:"name" example:"홍**" doc:"Masked."`
}

type confirmationJSON struct {
	State       string     `json:"state" enum:"pending,sent,delivered,undelivered,failed,held,suppressed" doc:"That of the resident's newest text."`
	Reason      string     `json:"reason,omitempty" doc:"Why; looking-up: whether the provider took the text is being found out."`
	Explanation string     `json:"explanation,omitempty" doc:"The reason in a sentence for people, in Korean when Accept-Language asks for it and in English otherwise."`
	Texts       []textJSON `json:"texts" nullable:"false" doc:"Oldest first."`
}

type textJSON struct {
	Recipient   string  `json:"recipient" enum:"resident,booker"`
	Kind        string  `json:"kind" enum:"confirmation,change,cancellation,reminder"`
	State       string  `json:"state" enum:"pending,sent,delivered,undelivered,failed,held,suppressed"`
	Attempts    int     `json:"attempts" minimum:"0"`
	AcceptedAt  *string `json:"accepted_at" format:"date-time" nullable:"true"`
	DeliveredAt *string `json:"delivered_at" format:"date-time" nullable:"true"`
	Reason      string  `json:"reason,omitempty"`
	Explanation string  `json:"explanation,omitempty" doc:"The reason in a sentence for people."`
	Resend      int     `json:"resend,omitempty" minimum:"1" doc:"The number of the resend that caused it; absent from the first text of a version."`
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

// confirmationOfResend is the same for a resend. The state of a resident who was not to get a text again is as it was then.
func confirmationOfResend(v booking.Reservation, sent booking.Resent) confirmationJSON {
	c := confirmationJSON{}
	c.State, c.Reason = seen(Text{State: sent.ResidentState})
	for _, r := range sent.Recipients {
		c.Texts = append(c.Texts, textJSON{Recipient: string(r), Kind: kindOf(v), State: pending, Resend: sent.Number})
	}
	return c
}

// kindOf is the kind of the texts of v's present version.
func kindOf(v booking.Reservation) string {
	switch {
	case v.Status == booking.StatusCancelled:
		return "cancellation"
	case v.Version == 1:
		return "confirmation"
	}
	return "change"
}

// caused are the newest texts that v's present version and its resends led to, as they are before the notifier knows of
// them: committed in the outbox.
func caused(v booking.Reservation) []textJSON {
	texts := []textJSON{{Recipient: "resident", Kind: kindOf(v), State: pending, Resend: v.Resends.Resident}}
	if v.Booker != nil {
		texts = append(texts, textJSON{Recipient: "booker", Kind: kindOf(v), State: pending, Resend: v.Resends.Booker})
	}
	return texts
}

// confirmationOf is the confirmation of v as texts tell it. What its present version or a resend of it caused and the
// notifier has not got yet is pending; otherwise a cancelled reservation would show the state of its confirmation, and one
// whose text was asked for again how the last one ended. Texts about what is long past may have been deleted for their age.
func confirmationOf(v booking.Reservation, texts []Text, now time.Time) confirmationJSON {
	c := confirmationJSON{State: pending, Texts: make([]textJSON, 0, len(texts)+2)}
	newest := map[string]Text{} // by recipient
	for _, t := range texts {
		if n, ok := newest[t.Recipient]; !ok || t.Version > n.Version || t.Version == n.Version && t.Resend >= n.Resend {
			newest[t.Recipient] = t
		}
		state, reason := seen(t)
		c.Texts = append(c.Texts, textJSON{Recipient: t.Recipient, Kind: t.Kind, State: state, Attempts: t.Attempts,
			AcceptedAt:  stampIn(t.AcceptedAt, v.Slot.StartsAt.Location()),
			DeliveredAt: stampIn(t.DeliveredAt, v.Slot.StartsAt.Location()), Reason: reason, Resend: t.Resend})
	}
	if n, ok := newest["resident"]; ok {
		c.State, c.Reason = seen(n)
	}
	for _, t := range caused(v) {
		if n, ok := newest[t.Recipient]; ok && (n.Version > v.Version || n.Version == v.Version && n.Resend >= t.Resend) {
			continue
		}
		if now.Sub(v.Slot.StartsAt) >= event.MinKeep { // what was told is deleted, and there is nothing more to tell
			t.State, t.Reason = "suppressed", "appointment-past"
		}
		c.Texts = append(c.Texts, t)
		if t.Recipient == "resident" {
			c.State, c.Reason = t.State, t.Reason
		}
	}
	return c
}

// explained adds to c what its reasons mean.
func explained(c confirmationJSON, explain func(reason, language string) string, language string) confirmationJSON {
	sentence := func(reason string) string {
		if reason == "" {
			return ""
		}
		return explain(reason, language)
	}
	c.Explanation = sentence(c.Reason)
	for i := range c.Texts {
		c.Texts[i].Explanation = sentence(c.Texts[i].Reason)
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
