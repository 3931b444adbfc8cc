package notifier

import (
	"context"
	"time"

	"ansim/notifier/text"
	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// Directory reads what the texts of many reservations say, as it is committed now. With lock, none of them changes until tx
// ends, so that a cancel cannot pass between the look and the attempt. Reservations that do not exist are left out.
type Directory func(ctx context.Context, tx *sqldb.Tx, reservationIDs []string, lock bool) (map[string]Appointment, error)

// Appointment is what a text says of a reservation.
type Appointment struct {
	ReservationID, Code      string
	Version                  int
	Status                   string // confirmed or cancelled
	Name, BookerName         personal.Name
	Phone, BookerPhone       personal.Phone
	Language                 string    // ko or en
	StartsAt                 time.Time // of the slot, best in its TimeZone
	TimeZone                 string    // IANA name
	TagKo, TagEn             string
	SiteKo, SiteEn           string
	ProgrammeKo, ProgrammeEn string
	// PastPhones are the resident's numbers in earlier versions, where they were others.
	PastPhones map[int]personal.Phone
}

// sentTo is the number to which the texts of m went, "" when the reservation has no such person.
func (a Appointment) sentTo(m *Message) personal.Phone {
	if was, ok := a.PastPhones[m.Version]; ok && m.Recipient == event.Resident {
		return was
	}
	return a.phone(m)
}

// phone is the number to which m goes, "" when the reservation has no such person.
func (a Appointment) phone(m *Message) personal.Phone {
	switch m.Recipient {
	case event.Booker:
		return a.BookerPhone
	case event.Former: // the version that this message is about replaced it
		return a.PastPhones[m.Version-1]
	}
	return a.Phone
}

// refusal says why m is not to be sent any more, "" when it is.
func (a Appointment) refusal(m *Message, now time.Time) string {
	switch {
	case m.Kind != Cancellation && a.Status == "cancelled" && m.unknowns() > 0:
		return ReasonMaybeSent
	case m.Kind != Cancellation && a.Status == "cancelled":
		return ReasonCancelled
	case m.Kind != Cancellation && a.Version > m.Version:
		return ReasonSuperseded
	case !now.Before(a.StartsAt):
		return ReasonPast
	case a.phone(m) == "":
		return ReasonNoRecipient
	}
	return ""
}

// renderer writes the text of a message; the sender's is [Appointment.text].
type renderer func(Appointment, *Message) (text.Out, error)

// text renders the text of m. It is a pure function of its data, so every attempt of a message says the same.
func (a Appointment) text(m *Message) (text.Out, error) {
	at := a.StartsAt
	if at.Location().String() != a.TimeZone { // reading a zone takes longer than all the rest
		zone, err := time.LoadLocation(a.TimeZone)
		if err != nil {
			return text.Out{}, err
		}
		at = at.In(zone)
	}
	return text.Render(text.In{
		Kind: string(m.Kind), Language: a.Language, TagKo: a.TagKo, TagEn: a.TagEn, Name: a.Name,
		SiteKo: a.SiteKo, SiteEn: a.SiteEn, StartsAt: at, Code: a.Code,
		ForBooker: m.Recipient == event.Booker, ForFormer: m.Recipient == event.Former,
	})
}
