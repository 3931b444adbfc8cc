package console

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"ansim/booking"
	"ansim/notifier/console/trail"
	"ansim/notifier/page"
	"ansim/notifier/timeline"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// caseView is one reservation with its story.
type caseView struct {
	ID, Code, State, Programme, Site string
	When                             page.Moment
	Name, Phone, Birth, Language     string
	BookerName, BookerPhone          string
	Reference, SlotID                string
	Version                          int
	Story                            []storyView
	Notes                            []noteView
	MayAct                           bool // the role does, and the reservation can still be acted on
	Active                           bool
	Unknown                          bool // the last resend was refused since it is not known whether a text went out
}

type storyView struct {
	At        page.Moment
	Sentence  string
	Why       string
	To        string // resident, booker, "" for what is no text
	Who       string // of what somebody did
	Emphasise bool
}

type noteView struct {
	At     page.Moment
	Author string
	Note   string
}

// reservation is GET /console/reservations/{id}.
func (c *Console) reservation(v *visit) {
	r, ok := v.find()
	if !ok {
		return
	}
	if err := v.record(trail.Viewed, r.ID, ""); err != nil {
		v.fail("trail", err)
		return
	}
	v.caseOf(r, http.StatusOK)
}

// find reads the reservation that the address names, and says so when there is none.
func (v *visit) find() (booking.Appointed, bool) {
	r, err := booking.Look(v.r.Context(), v.opts.DB, v.r.PathValue("id"))
	if errors.Is(err, booking.ErrNotFound) {
		v.message(http.StatusNotFound, "not-found")
		return r, false
	}
	if err != nil {
		v.fail("reservation", err)
		return r, false
	}
	return r, true
}

// caseOf shows the reservation.
func (v *visit) caseOf(r booking.Appointed, code int) {
	ctx := v.r.Context()
	entries, err := timeline.Read(ctx, v.opts.DB, r.ID)
	if err != nil {
		v.fail("story", err)
		return
	}
	notes, err := v.notes(ctx, r)
	if err != nil {
		v.fail("notes", err)
		return
	}
	zone := r.Slot.StartsAt.Location()
	k := &caseView{ID: r.ID, Code: booking.FormatCode(r.Code), State: r.Status, Programme: page.Text(r.Programme).In(v.lang), Site: page.Text(r.Site).In(v.lang),
		When: v.when(r.Slot.StartsAt, zone), Name: r.Name.Reveal(), Phone: r.Phone.Reveal(), Birth: r.BirthDate, Language: r.Language, Reference: r.Reference, SlotID: r.Slot.ID,
		Version: r.Version, Notes: notes, MayAct: v.who.Role.May("agent"), Active: r.Status == booking.StatusConfirmed && v.now.Before(r.Slot.StartsAt)}
	if v.view.Case != nil {
		k.Unknown = v.view.Case.Unknown
	}
	if r.Booker != nil {
		k.BookerName, k.BookerPhone = r.Booker.Name.Reveal(), r.Booker.Phone.Reveal()
	}
	for _, e := range entries {
		s := storyView{At: v.when(e.At, zone), Sentence: e.Sentence(string(v.lang)), Why: v.opts.Explain(e.Reason, string(v.lang)), To: string(e.Recipient), Who: e.By}
		if e.Note != "" {
			s.Why = e.Note
		}
		s.Emphasise = e.Type == timeline.Delivered || e.Type == timeline.Failed || e.Type == timeline.Held
		k.Story = append(k.Story, s)
	}
	v.view.Case = k
	v.show(code, "case")
}

// call is the request under the form's nonce: pressed twice, it is done once. A form without one is not done; see act.
func (v *visit) call(route string, parts ...string) booking.Call {
	return booking.Call{Client: booking.Staff(v.who.ID, v.who.Name), Key: v.field("nonce"), Route: "console " + route,
		Fingerprint: sha256.Sum256([]byte(strings.Join(parts, "\x00")))}
}

// act is what the actions have in common: find, check what was entered, put it into the trail, do it, and show what came of it.
func (v *visit) act(action trail.Action, detail, notice string, check func(r booking.Appointed), do func(r booking.Appointed) error) {
	r, ok := v.find()
	if !ok {
		return
	}
	v.view.Form = map[string]string{}
	for name := range v.r.PostForm {
		v.view.Form[name] = v.field(name)
	}
	if _, err := booking.NormalizeKey(v.field("nonce")); err != nil {
		v.wrong("act-"+string(action), saysAgain)
	}
	if check(r); len(v.view.Errors) > 0 {
		v.caseOf(r, http.StatusUnprocessableEntity)
		return
	}
	if err := v.record(action, r.ID, detail); err != nil {
		v.fail("trail", err)
		return
	}
	err := do(r)
	if err == nil {
		v.went("/console/reservations/"+r.ID, notice)
		return
	}
	says, ok := page.ReasonOf(refusals, err)
	if !ok {
		v.fail(string(action), err)
		return
	}
	v.view.Case = &caseView{Unknown: errors.Is(err, booking.ErrOutcomeUnknown)}
	s := says.In(v.lang)
	var no *booking.Refusal
	if errors.As(err, &no) && no.RetryAfter > 0 {
		s = strings.ReplaceAll(s, "{at}", no.ServerTime.Add(no.RetryAfter+time.Second-1).In(r.Slot.StartsAt.Location()).Format("15:04:05"))
	}
	v.view.Errors = append(v.view.Errors, page.Mistake{Field: "act-" + string(action), Says: s})
	if r, ok = v.find(); ok { // as it is now
		v.caseOf(r, http.StatusConflict)
	}
}

func (v *visit) reason(name string) string {
	reason, err := booking.NormalizeReason(v.field(name))
	if err != nil {
		v.wrong(name, saysReason)
	}
	return reason
}

// resend is POST /console/reservations/{id}/resend.
func (c *Console) resend(v *visit) {
	order := booking.ResendOrder{EvenIfUnknown: v.field("even") != ""}
	call := v.call("resend", v.field("reason"), v.field("to"), v.field("even"))
	detail := "texts"
	if order.EvenIfUnknown {
		detail = "texts, at the risk of a second copy"
	}
	v.act(trail.Resent, detail, "resent", func(r booking.Appointed) {
		order.ReservationID, order.Reason = r.ID, v.reason("reason")
		if v.field("to") == string(event.Resident) {
			order.Recipients = []event.Recipient{event.Resident}
		}
	}, func(booking.Appointed) error {
		_, err := c.opts.Service.Resend(v.r.Context(), call, order)
		return err
	})
}

// correct is POST /console/reservations/{id}/contact.
func (c *Console) correct(v *visit) {
	var to booking.Correction
	call := v.call("contact", v.field("name"), v.field("phone"), v.field("version"))
	v.act(trail.Corrected, "contact", "corrected", func(booking.Appointed) {
		var err error
		if to.Name, err = booking.NormalizeName(v.field("name")); err != nil {
			v.wrong("name", saysName)
		}
		if to.Phone, err = booking.NormalizePhone(v.field("phone")); err != nil {
			v.wrong("phone", saysPhone)
		}
	}, func(r booking.Appointed) error {
		_, err := c.opts.Service.Correct(v.r.Context(), call, r.ID, to, v.version())
		return err
	})
}

// cancel is POST /console/reservations/{id}/cancel.
func (c *Console) cancel(v *visit) {
	call := v.call("cancel", v.field("version"))
	v.act(trail.Cancelled, "", "cancelled", func(booking.Appointed) {
		if v.field("sure") == "" {
			v.wrong("sure", saysSure)
		}
	}, func(r booking.Appointed) error {
		_, err := c.opts.Service.Cancel(v.r.Context(), call, r.ID, v.version())
		return err
	})
}

// version is the one that the form was made from; 0, which is any, when it does not say.
func (v *visit) version() int {
	n, _ := strconv.Atoi(v.field("version"))
	return max(0, n)
}

// note is POST /console/reservations/{id}/note. Its nonce is its id, so that pressed twice it is one.
func (c *Console) note(v *visit) {
	note := ""
	v.act(trail.Noted, "", "noted", func(booking.Appointed) { note = v.reason("note") }, func(r booking.Appointed) error {
		id, err := uuid.Parse(v.field("nonce"))
		if err != nil {
			if id, err = uuid.NewV7(); err != nil {
				return err
			}
		}
		return c.opts.DB.Write(v.r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			now, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO staff_note (id, reservation_id, at, author, note) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				id.String(), r.ID, sqldb.At(now), v.who.Name, note)
			return err
		})
	})
}

// notesMost is how many notes a page shows, the newest.
const notesMost = 50

func (v *visit) notes(ctx context.Context, r booking.Appointed) (notes []noteView, err error) {
	var rows []struct {
		At     sqldb.Time `db:"at"`
		Author string     `db:"author"`
		Note   string     `db:"note"`
	}
	err = v.opts.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, `SELECT at, author, note FROM staff_note WHERE reservation_id = ? ORDER BY at DESC, id LIMIT ?`, r.ID, notesMost)
	})
	for _, n := range rows {
		notes = append(notes, noteView{v.when(n.At.Time, r.Slot.StartsAt.Location()), n.Author, n.Note})
	}
	return notes, err
}
