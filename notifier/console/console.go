// Package console is the pages of the staff who answer residents: find a reservation, see its story from the click to the
// phone, and do something about it.
//
//	/console/sign-in ──▶ /console (find, what waits) ──▶ /console/reservations/{id}: the story; send again, correct, cancel, note
//	                     /console/attention (what cannot go on) ──▶ /console/runs (let it go on; package bulk)
//	                     /console/trail (what staff did)
//
// What a role may do is one table of routes; a route without a row is not there. Everything that staff do, and whom they look
// at, is in the trail (package trail) before it is done. Addresses hold ids of reservations and nothing personal: what is searched for
// is in a form's body. Everything works without a script; with the one that there is, figures and progress come up to date.
package console

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/console/bulk"
	"ansim/notifier/console/staff"
	"ansim/notifier/console/trail"
	"ansim/notifier/page"
	"ansim/schema/sqldb"
)

//go:embed *.html
var files embed.FS

// Options are what the console needs.
type Options struct {
	DB      *sqldb.DB
	Service *booking.Service
	// Desk takes orders for many reservations at once, and lists what cannot go on.
	Desk *bulk.Desk
	// Waiting tells how far the texts are.
	Waiting func(ctx context.Context) (notifier.Backlog, error)
	// Explain says why a text stands where it does, in "ko" or "en".
	Explain func(reason, language string) string
	// Network is where a request comes from, for the limits on sign-ins that fail.
	Network func(*http.Request) string
	// Secure says that the pages are reached over TLS only, and so is the cookie.
	Secure bool
	// Demo is the name of an account that signs in by one click. It is for the demonstration alone; "" otherwise.
	Demo  string
	Reads int              // requests worked on at once; default 4
	Now   func() time.Time // default time.Now
	Log   *slog.Logger
}

// Console answers staff.
type Console struct {
	opts     Options
	door     *staff.Door
	sessions *scs.SessionManager
	worker   *bulk.Worker
	figures  *figures
	handler  http.Handler
}

// route is one thing that can be asked for, and who may.
type route struct {
	pattern string
	least   staff.Role // "": also who is not signed in
	do      func(*Console, *visit)
}

// routes are all of them.
var routes = []route{
	{"GET /console/sign-in", "", (*Console).signInForm},
	{"POST /console/sign-in", "", (*Console).signIn},
	{"POST /console/sign-out", "", (*Console).signOut},
	{"GET /console", staff.Viewer, (*Console).home},
	{"POST /console/search", staff.Viewer, (*Console).search},
	{"GET /console/reservations/{id}", staff.Viewer, (*Console).reservation},
	{"POST /console/reservations/{id}/resend", staff.Agent, (*Console).resend},
	{"POST /console/reservations/{id}/contact", staff.Agent, (*Console).correct},
	{"POST /console/reservations/{id}/cancel", staff.Agent, (*Console).cancel},
	{"POST /console/reservations/{id}/note", staff.Agent, (*Console).note},
	{"GET /console/attention", staff.Viewer, (*Console).attention},
	{"GET /console/trail", staff.Supervisor, (*Console).trail},
	{"GET /console/runs", staff.Supervisor, (*Console).runs},
	{"POST /console/runs/preview", staff.Supervisor, (*Console).preview},
	{"POST /console/runs", staff.Supervisor, (*Console).begin},
	{"GET /console/runs/{id}", staff.Supervisor, (*Console).run},
	{"POST /console/runs/{id}/pause", staff.Supervisor, (*Console).pause},
	{"POST /console/runs/{id}/go-on", staff.Supervisor, (*Console).goOn},
	{"POST /console/runs/{id}/stop", staff.Supervisor, (*Console).stop},
}

// moving are the parts of pages that bring themselves up to date. A page that is left open must not keep its session alive, so
// these read the session and do not renew it.
var moving = []route{
	{"GET /console/live", staff.Viewer, (*Console).live},
	{"GET /console/runs/{id}/live", staff.Supervisor, (*Console).runLive},
}

// patience is how long a request waits for its turn.
const patience = 5 * time.Second

// New makes the console.
func New(opts Options) (*Console, error) {
	if opts.Reads <= 0 {
		opts.Reads = 4
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	door, err := staff.NewDoor(opts.DB, opts.Now)
	if err != nil {
		return nil, err
	}
	c := &Console{opts: opts, door: door, sessions: staff.NewSessions(opts.DB, opts.Secure), worker: bulk.NewWorker(opts.Desk, opts.Log), figures: &figures{}}
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.HandleFunc(rt.pattern, c.guard(rt))
	}
	if opts.Demo != "" {
		mux.HandleFunc("POST /console/sign-in/demo", c.guard(route{"", "", (*Console).signInDemo}))
	}
	mux.HandleFunc("/console/", c.guard(route{"", "", func(_ *Console, v *visit) { v.message(http.StatusNotFound, "not-found") }}))
	busy := c.guard(route{"", "", func(_ *Console, v *visit) { v.message(http.StatusServiceUnavailable, "busy") }})
	foreign := c.guard(route{"", "", func(_ *Console, v *visit) { v.message(http.StatusForbidden, "foreign") }})
	c.sessions.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		opts.Log.Error("a session could not be read or stored", "error", err)
		http.Error(w, words["broken"].En, http.StatusInternalServerError)
	}
	all := http.NewServeMux()
	all.Handle("/", c.sessions.LoadAndSave(mux))
	for _, rt := range moving {
		all.Handle(rt.pattern, c.readSession(c.guardQuietly(rt)))
	}
	c.handler = page.Guarded(page.Bounded(all, c.sessions.LoadAndSave(busy), opts.Reads, patience), c.sessions.LoadAndSave(foreign), page.WithScript)
	return c, nil
}

// readSession is next with the session of the request, which is not renewed.
func (c *Console) readSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := ""
		if cookie, err := r.Cookie(c.sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		ctx, err := c.sessions.Load(r.Context(), token)
		if err != nil {
			c.sessions.ErrorFunc(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// guard finds out who asks and lets them do what their role may.
func (c *Console) guard(rt route) http.HandlerFunc { return c.guarded(rt, false) }

func (c *Console) guardQuietly(rt route) http.HandlerFunc { return c.guarded(rt, true) }

func (c *Console) guarded(rt route, quiet bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Console: c, w: w, r: r, now: c.opts.Now(), quiet: quiet}
		if err := r.ParseForm(); err != nil {
			r.Form, r.PostForm = nil, nil
			v.message(http.StatusBadRequest, "broken")
			return
		}
		v.speak()
		if err := v.recognise(); err != nil {
			v.fail("session", err)
			return
		}
		switch {
		case rt.least == "":
		case v.who.ID == "":
			v.askToSignIn()
			return
		case !v.who.Role.May(rt.least):
			v.message(http.StatusForbidden, "not-allowed")
			return
		}
		rt.do(c, v)
	}
}

// The values of a session.
const (
	keyStaff  = "staff"  // the account's id
	keySince  = "since"  // when it signed in, Unix microseconds
	keyLang   = "lang"   // what the switch was set to
	keyNotice = "notice" // what was done, for the next page
)

// recognise finds the account of the session. One that was changed since has to sign in again.
func (v *visit) recognise() error {
	ctx := v.r.Context()
	id := v.sessions.GetString(ctx, keyStaff)
	if id == "" {
		return nil
	}
	a, err := staff.Get(ctx, v.opts.DB, id, time.UnixMicro(v.sessions.GetInt64(ctx, keySince)))
	if errors.Is(err, staff.ErrNone) {
		return v.sessions.Destroy(ctx)
	}
	v.who = a
	return err
}

// record puts what the member of staff is about to do into the trail.
func (v *visit) record(action trail.Action, reservation, detail string) error {
	return v.opts.DB.Write(v.r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return trail.Append(ctx, tx, trail.Entry{Actor: v.who.Actor(), Action: action, Reservation: reservation, Detail: detail})
	})
}
