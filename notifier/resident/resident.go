// Package resident is the page on which people find out whether they are booked, what became of their text, and where they
// have it sent again, move, or cancel.
//
//	/r          code and birth date ──▶ booked or not, when, where, the text
//	/r/again    the text once more              /r/calendar   the appointment as a calendar file
//	/r/cancel   asks, then cancels              /r/move       times ▸ asks, then moves
//	/r/lost     name, birth date, number ──▶ the code, by text, to the number on the reservation
//
// There is no session: each form carries the code and the birth date, in its body, and each request proves itself by them. So
// nothing personal is in an address, no cookie has any power, and a page that was left open on somebody's phone does what its
// owner could do anyway. What changes something carries a nonce, which is the idempotency key: a form that is sent twice has
// done its work once. Everything works without a script.
package resident

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/page"
)

// Options are what the page needs.
type Options struct {
	Service *booking.Service
	// Texts reads the texts of a reservation.
	Texts func(ctx context.Context, reservationID string) ([]notifier.TextStatus, error)
	// Explain says why a text stands where it does, in "ko" or "en"; "" when there is nothing to say.
	Explain func(reason, language string) string
	// Late is how late texts are at present by what waits, and whether any go out at all.
	Late func(ctx context.Context) (late time.Duration, going bool)
	// Network is where a request comes from; see booking.Proof.
	Network func(*http.Request) string
	// Reads is how many requests may be worked on at once. Default 4.
	Reads int
	Now   func() time.Time // default time.Now
	Log   *slog.Logger
}

const (
	// patience is how long a request waits for its turn before it is told to come again.
	patience = 5 * time.Second
	// lostQueue is how many requests for lost codes may wait; some milliseconds are spent on each.
	lostQueue = 1000
	// lostTime bounds the work on one.
	lostTime = 30 * time.Second
)

// Pages answers residents. Stop ends it.
type Pages struct {
	opts    Options
	handler http.Handler
	lost    chan booking.LostCode
	stop    sync.Once
	done    chan struct{}
}

// New makes the pages.
func New(opts Options) *Pages {
	if opts.Reads <= 0 {
		opts.Reads = 4
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	p := &Pages{opts: opts, lost: make(chan booking.LostCode, lostQueue), done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /r", p.at("start", func(v *visit) { v.show(http.StatusOK, "start") }))
	mux.HandleFunc("POST /r", p.at("start", p.proven(func(v *visit) { v.booking(http.StatusOK) })))
	mux.HandleFunc("POST /r/again", p.at("start", p.proven(p.again)))
	mux.HandleFunc("POST /r/cancel", p.at("start", p.proven(p.cancel)))
	mux.HandleFunc("POST /r/move", p.at("start", p.proven(p.move)))
	mux.HandleFunc("POST /r/calendar", p.at("start", p.proven(p.calendar)))
	mux.HandleFunc("GET /r/lost", p.at("lost", func(v *visit) { v.show(http.StatusOK, "lost") }))
	mux.HandleFunc("POST /r/lost", p.at("lost", p.sendCode))
	// Whoever reloads the address of an answer begins again.
	mux.HandleFunc("GET /r/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/r", http.StatusSeeOther) })
	busy := p.at("start", func(v *visit) { v.busy() })
	p.handler = page.Guarded(page.Bounded(mux, busy, opts.Reads, patience), p.at("start", func(v *visit) {
		v.r.PostForm = url.Values{} // what another site sent is not shown again
		v.message(http.StatusForbidden, "foreign")
	}))
	go p.sendCodes()
	return p
}

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Stop finishes what was asked for and returns. No request may come any more. It may be called twice.
func (p *Pages) Stop() {
	p.stop.Do(func() { close(p.lost) })
	<-p.done
}

// sendCodes works on requests for lost codes, one after the other. Nobody who asked waits for it, so how long it takes tells
// nobody whether there is such a person.
func (p *Pages) sendCodes() {
	defer close(p.done)
	for who := range p.lost {
		ctx, cancel := context.WithTimeout(context.Background(), lostTime)
		if _, err := p.opts.Service.SendCode(ctx, who); err != nil {
			p.opts.Log.Warn("a lost code could not be sent; its owner has to ask again", "error", err)
		}
		cancel()
	}
}

// at makes a handler of a page whose form, when it is refused, is that of the template called form.
func (p *Pages) at(form string, do func(*visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Pages: p, w: w, r: r, form: form, now: p.opts.Now()}
		if err := r.ParseForm(); err != nil { // too large, or no form: what there is of it is not used
			r.Form, r.PostForm = nil, nil
			v.lang = page.LanguageOf(r)
			v.message(http.StatusBadRequest, "broken")
			return
		}
		v.lang = page.LanguageOf(r)
		do(v)
	}
}
