package resident

import (
	"embed"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/page"
	"ansim/schema/event"
)

//go:embed *.html
var files embed.FS

// templates are the pages, by language.
var templates = page.Parse(files, words)

// visit is one request and what its page will show.
type visit struct {
	*Pages
	w     http.ResponseWriter
	r     *http.Request
	lang  page.Language
	form  string // the template to which what was entered goes back
	now   time.Time
	found booking.Appointed
	view  view
}

// view is what the templates show.
type view struct {
	Lang, Other page.Language
	Path        string // where a link to the other language leads, "" when that takes the code and the birth date
	Key         string // of a message
	Form        form
	Errors      page.Mistakes
	Notice      *notice
	Booking     *bookingView
	Move        *moveView
}

// form is what people enter, as they entered it.
type form struct{ Code, Birth, Name, Phone, Place string }

// notice is what became of what the person did.
type notice struct {
	Title, Says string
	Warn        bool
}

// bookingView is a reservation as its page shows it.
type bookingView struct {
	State     string // booked, cancelled, past
	Code      string
	When      page.Moment
	Site      string
	Programme string
	Name      string
	Booker    string
	Phone     string // its last digits
	Text      string
	TextAt    string
	Why       string
	Late      string
	Version   int
}

func (v *visit) field(name string) string { return v.r.PostFormValue(name) }

func (v *visit) wrong(field string, says page.Text, args ...any) {
	v.view.Errors.Add(v.lang, field, says, args...)
}

// show writes a page. It is made whole before any of it is sent, so that a mistake in it is an error and not half a page.
func (v *visit) show(code int, name string) {
	v.view.Lang, v.view.Other = v.lang, v.lang.Other()
	v.view.Path = paths[name]
	if v.view.Form.Code == "" {
		v.view.Form.Code, v.view.Form.Birth = v.field("code"), v.field("birth")
	}
	if err := templates.Write(v.w, code, v.lang, name, v.view); err != nil {
		v.opts.Log.Error("a page could not be shown", "error", err)
		http.Error(v.w, words["broken"].In(v.lang), http.StatusInternalServerError)
	}
}

// paths are the pages that can be asked for in another language by a link.
var paths = map[string]string{"start": "/r", "lost": "/r/lost", "sent": "/r"}

// message shows a page that says one thing.
func (v *visit) message(code int, key string) {
	v.view.Key = key
	v.show(code, "message")
}

// busy says that too many are here, with what was entered kept in a form that tries again.
func (v *visit) busy() {
	v.w.Header().Set("Retry-After", "10")
	v.message(http.StatusServiceUnavailable, "busy")
}

// fail says that something went wrong on our side, or that too many are here.
func (v *visit) fail(what string, err error) {
	if errors.Is(err, booking.ErrOverloaded) || errors.Is(err, booking.ErrKeyInProgress) {
		v.busy()
		return
	}
	if v.r.Context().Err() == nil {
		v.opts.Log.Error("a resident's request failed", "what", what, "error", err)
	}
	v.message(http.StatusInternalServerError, "broken")
}

// proven is next for who has a reservation's code and birth date. Others get their form back with what to do.
func (p *Pages) proven(next func(*visit)) func(*visit) {
	return func(v *visit) {
		v.view.Form = form{Code: v.field("code"), Birth: v.field("birth")}
		if _, err := booking.ParseCode(v.view.Form.Code); err != nil {
			v.wrongCode()
		}
		births := v.birth()
		if len(v.view.Errors) > 0 {
			v.show(http.StatusUnprocessableEntity, v.form)
			return
		}
		found, err := p.opts.Service.Lookup(v.r.Context(), booking.Proof{Code: v.view.Form.Code, BirthDates: births, From: p.opts.Network(v.r)})
		var no *booking.Refusal
		switch {
		case err == nil:
			v.found = found
			next(v)
		case errors.Is(err, booking.ErrNotFound):
			v.wrong("code", saysNotFound)
			v.show(http.StatusNotFound, v.form)
		case errors.As(err, &no) && errors.Is(err, booking.ErrTooManyLookups):
			v.w.Header().Set("Retry-After", fmt.Sprint(int(no.RetryAfter.Seconds())+1))
			v.wrong("code", saysLimited, page.Span(v.lang, no.RetryAfter))
			v.show(http.StatusTooManyRequests, v.form)
		default:
			v.fail("lookup", err)
		}
	}
}

// birth reads the field, and says what is wrong with it. What must not have been entered is not shown again.
func (v *visit) birth() []string {
	births, err := parseBirth(v.view.Form.Birth, v.now)
	switch {
	case errors.Is(err, errWholeNumber):
		v.view.Form.Birth = ""
		v.wrong("birth", saysWhole)
	case err != nil:
		v.wrong("birth", saysBirth)
	}
	return births
}

// wrongCode says what is wrong with the code; of a half one, that it is half.
func (v *visit) wrongCode() {
	n := 0
	for _, r := range v.view.Form.Code {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			n++
		}
	}
	if n > 0 && n != 10 {
		v.wrong("code", saysShort, n)
		return
	}
	v.wrong("code", saysCode)
}

// booking shows the reservation as it is now.
func (v *visit) booking(code int) {
	texts, err := v.opts.Texts(v.r.Context(), v.found.ID)
	if err != nil {
		v.fail("texts", err)
		return
	}
	v.view.Booking = v.describe()
	v.tellText(texts)
	v.show(code, "booking")
}

// describe is the reservation without its texts.
func (v *visit) describe() *bookingView {
	f := v.found
	b := &bookingView{State: "booked", Code: booking.FormatCode(f.Code), When: page.When(v.lang, f.Slot.StartsAt, v.now),
		Site: page.Text(f.Site).In(v.lang), Programme: page.Text(f.Programme).In(v.lang), Name: f.Name.String(), Version: f.Version}
	switch {
	case f.Status == booking.StatusCancelled:
		b.State = "cancelled"
	case !v.now.Before(f.Slot.StartsAt):
		b.State = "past"
	}
	if f.Booker != nil {
		b.Booker = f.Booker.Name.String()
	}
	if n := f.Phone.String(); n != "" {
		b.Phone = strings.TrimLeft(n, "•")
	}
	return b
}

// tellText says what became of the resident's newest text. Until the notifier has it, it is being sent.
func (v *visit) tellText(texts []notifier.TextStatus) {
	b, t := v.view.Booking, notifier.TextStatus{State: notifier.Pending}
	for _, x := range texts {
		if x.Recipient == event.Resident && x.Version == v.found.Version && x.Resend == v.found.Resends.Resident {
			t = x
		}
	}
	b.Text, b.Why = status[t.State].In(v.lang), v.opts.Explain(t.Reason, string(v.lang))
	at := t.DeliveredAt
	if at == nil || t.State != notifier.StateDelivered {
		at = t.AcceptedAt
	}
	switch t.State {
	case notifier.StateDelivered, notifier.StateAccepted, notifier.StateSent:
		if at != nil {
			b.TextAt = page.When(v.lang, at.In(v.found.Slot.StartsAt.Location()), v.now).Relative
		}
	case notifier.Pending, notifier.Sending:
		if b.State == "booked" {
			b.Late = v.late()
		}
	}
}

// lateFrom is from when on texts are called late.
const lateFrom = 2 * time.Minute

func (v *visit) late() string {
	late, going := v.opts.Late(v.r.Context())
	switch {
	case !going:
		return saysStopped.In(v.lang)
	case late >= lateFrom:
		return fmt.Sprintf(saysLate.In(v.lang), page.Span(v.lang, late))
	}
	return ""
}
