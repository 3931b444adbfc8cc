package booking

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// ResendCoolDown is how long after a version of a reservation was committed, and after each resend of it, nobody may ask for
// its texts again. Within that time nearly every text has been delivered or has failed, and a second click is not a second
// wish.
const ResendCoolDown = time.Minute

// NewestText is the newest text to one person of a reservation, as the notifier has it.
type NewestText struct {
	Version int    // of the reservation
	Resend  int    // 0, or the number of the resend that caused it
	State   string // the notifier's word for it: pending, sending, unknown, accepted, …
}

// TextLook reads within tx the newest text (of the highest version, then resend number) of each person of reservations. Who
// has none is left out. It must not lock anything; see askAgain.
type TextLook func(ctx context.Context, tx *sqldb.Tx, reservationIDs []string) (map[string]map[event.Recipient]NewestText, error)

// The states of a text that a resend waits for. They are the notifier's.
const (
	textPending = "pending"
	textSending = "sending"
	textUnknown = "unknown"
)

// ResendOrder is a person's request to send the texts of a reservation's present version once more.
type ResendOrder struct {
	ReservationID string
	Recipients    []event.Recipient // empty: everybody whom the reservation knows
	Reason        string            // free words of the asking person, as NormalizeReason takes them; kept, never logged
	// By is who asks: "api-key:ID", "resident", "staff:NAME", "cli:USER", "redrive:USER"; 1 to 100 characters, and nothing personal of residents.
	By string
	// EvenIfUnknown asks also while it is not known whether the last text was sent, or while the notifier does not know of it
	// at all: a second copy is risked on purpose.
	EvenIfUnknown bool
	NoCoolDown    bool // for redrives, which are asked for one by one or by the thousand, and by staff alone
}

// normalize puts o into the form in which it is kept. The error is a *ValidationProblem.
func (o *ResendOrder) normalize() error {
	var err error
	if o.Reason, err = NormalizeReason(o.Reason); err != nil {
		return err
	}
	by, ok := line(o.By, 100)
	if !ok || by == "" {
		return problem(SlugRequestedBy)
	}
	o.By = by
	o.Recipients = slices.Compact(slices.Sorted(slices.Values(o.Recipients)))
	slices.Reverse(o.Recipients) // the resident first
	for _, r := range o.Recipients {
		if r != event.Resident && r != event.Booker {
			return problem(SlugRecipient)
		}
	}
	return nil
}

// Resent is what a resend came to. Its texts are pending when it is returned.
type Resent struct {
	EventID    string
	Number     int // of the resend, from 1 in each version
	Version    int // of the reservation
	Recipients []event.Recipient
	// ResidentState is where the resident's newest text stands, in the notifier's words: pending when it is one of these.
	ResidentState string
}

// Resend asks for texts again, outside the writer of a Service: for the command line and for redrives. It may run beside
// services of any number of processes. When it returns a Resent, the resend and its event are committed. A refusal is a
// *Refusal with nothing done, an order that is wrong in itself a *ValidationProblem.
func Resend(ctx context.Context, db *sqldb.DB, look TextLook, order ResendOrder) (Resent, error) {
	if err := order.normalize(); err != nil {
		return Resent{}, err
	}
	id, _ := parseID(order.ReservationID)
	eventID, err := uuid.NewV7()
	if err != nil {
		return Resent{}, fmt.Errorf("make an event id: %w", err)
	}
	var done resend
	// Idempotent: should it run again after an unknown COMMIT, it finds its own row.
	err = db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if id == "" { // what is no id is found nowhere
			return &Refusal{Kind: ErrNotFound, ServerTime: now}
		}
		_, locked, err := lockReservations(ctx, tx, nil, map[string]bool{id: true})
		if err != nil {
			return err
		}
		if there, err := committedResend(ctx, tx, eventID.String()); err != nil || there {
			return err
		}
		asked, err := askAgain(ctx, tx, look, locked, now)
		if err != nil {
			return err
		}
		var refused *Refusal
		if done, refused = asked.decide(id, eventID.String(), &order, zones{}); refused != nil {
			return refused
		}
		if err := insertResends(ctx, tx, []resendRow{done.row}); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, []event.Event{done.event})
	})
	if err != nil {
		return Resent{}, fmt.Errorf("resend: %w", err)
	}
	return done.resent, nil
}

// askedAgain are the locked reservations whose texts are asked for again, each as it is after the requests decided so far.
type askedAgain struct {
	now time.Time
	of  map[string]*askedState // by reservation id
}

// askedState is one of them.
type askedState struct {
	row     *row
	version int        // that number, last and newest are about
	number  int        // the highest of its resends, 0 for none
	last    sqldb.Time // when that was committed
	caused  map[event.Recipient]int
	texts   map[event.Recipient]NewestText
}

// resend is a resend that was decided on.
type resend struct {
	row    resendRow
	event  event.Event
	resent Resent
}

// decide is the rule: it makes a resend of the reservation called id, with an event of that id, or refuses it. A reservation
// that is not there, or was not this client's to lock, is refused as such.
func (a *askedAgain) decide(id, eventID string, o *ResendOrder, z zones) (resend, *Refusal) {
	s := a.of[id]
	if s == nil {
		return resend{}, &Refusal{Kind: ErrNotFound, ServerTime: a.now}
	}
	if s.version != s.row.Version { // cancelled by a request of the same batch
		s.version, s.number, s.caused = s.row.Version, 0, nil
	}
	to := o.Recipients
	if len(to) == 0 {
		to = s.row.recipients()
	}
	if r := a.refuse(s, to, o); r != nil {
		r.ProgrammeID, r.ServerTime = s.row.ProgrammeID, a.now.In(z.location(s.row.TimeZone))
		return resend{}, r
	}
	unknown := s.unknown(to)
	s.number++
	s.last = sqldb.At(a.now)
	if s.caused == nil {
		s.caused = map[event.Recipient]int{}
	}
	for _, r := range to {
		s.caused[r] = s.number
	}
	r := s.row
	state, _ := s.newest(event.Resident)
	return resend{
		row: resendRow{eventID: eventID, reservationID: r.ID, version: r.Version, number: s.number, recipients: to,
			reason: o.Reason, by: o.By, whileUnknown: unknown, created: s.last},
		event: event.Event{ID: eventID, Type: r.eventType(), ReservationID: r.ID, Version: r.Version, Recipients: to,
			Resend: s.number, Time: a.now},
		resent: Resent{EventID: eventID, Number: s.number, Version: r.Version, Recipients: to, ResidentState: state},
	}, nil
}

// refuse says why the texts to these people may not be asked for again now, nil when they may.
//
// A text that is pending is refused like one that was asked for a moment ago, whatever the order allows: nothing can be lost
// that was not sent yet, a second one would only stand behind it in the same queue, and the thing to do is to wait. That is
// so too while the notifier has not got it, but for who risks a second copy on purpose: then nothing is known of it.
func (a *askedAgain) refuse(s *askedState, to []event.Recipient, o *ResendOrder) *Refusal {
	if !a.now.Before(s.row.StartsAt.Time) {
		return &Refusal{Kind: ErrAppointmentPast}
	}
	if s.row.BookerPhone == nil && slices.Contains(to, event.Booker) {
		return &Refusal{Kind: ErrNoBooker}
	}
	last := s.row.Updated.Time // when the version was committed
	if s.last.After(last) {
		last = s.last.Time
	}
	if wait := last.Add(ResendCoolDown).Sub(a.now); wait > 0 && !o.NoCoolDown {
		return &Refusal{Kind: ErrCoolDown, RetryAfter: wait}
	}
	for _, r := range to {
		if state, there := s.newest(r); state == textPending && (there || !o.EvenIfUnknown) {
			return &Refusal{Kind: ErrTextPending, RetryAfter: ResendCoolDown}
		}
	}
	if s.unknown(to) && !o.EvenIfUnknown {
		return &Refusal{Kind: ErrOutcomeUnknown, RetryAfter: ResendCoolDown}
	}
	return nil
}

// newest is where the newest text to r stands. It is pending when the notifier has not got it yet: the newest that it knows
// is then of an earlier version or resend, and how that one ended says nothing.
func (s *askedState) newest(r event.Recipient) (state string, there bool) {
	t, ok := s.texts[r]
	if !ok || t.Version < s.version || t.Version == s.version && t.Resend < s.caused[r] {
		return textPending, false
	}
	return t.State, true
}

// unknown says whether the newest text to one of them may have been sent without our knowing.
func (s *askedState) unknown(to []event.Recipient) bool {
	return slices.ContainsFunc(to, func(r event.Recipient) bool {
		state, there := s.newest(r)
		return !there || state == textSending || state == textUnknown
	})
}

// eventType is the event that a resend of r's present version repeats.
func (r *row) eventType() event.Type {
	switch {
	case r.Status == StatusCancelled:
		return event.Cancelled
	case r.Version == 1:
		return event.Booked
	}
	return event.Changed
}
