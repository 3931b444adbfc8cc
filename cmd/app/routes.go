package app

import (
	"context"
	_ "embed"
	"errors"
	"html/template"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ansim/booking"
	"ansim/booking/api"
	"ansim/notifier"
	"ansim/notifier/page"
	"ansim/notifier/timeline"
	"ansim/notifier/twilio"
	"ansim/schema/event"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
)

//go:embed start.html
var startHTML string

//go:embed start.css
var startCSS []byte

// routes is everything that the process answers.
func (a *App) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.health.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	if !a.cfg.has(API) {
		return mux, nil
	}
	start, err := a.startPage()
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /{$}", start)
	mux.HandleFunc("GET /start.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(startCSS)
	})
	callback, err := twilio.NewCallback(twilio.CallbackOptions{AccountSID: a.cfg.Twilio.AccountSID, Tokens: a.cfg.Twilio.tokens(),
		PublicURL: a.public, Receive: a.receive, Log: a.log})
	if err != nil {
		return nil, err
	}
	mux.Handle(routeCallback, a.figures.counted(routeCallback, callback))
	pages := a.figures.counted(routeResident, a.residentPages())
	mux.Handle("/r", pages)
	mux.Handle("/r/", pages)
	console, err := a.consolePages()
	if err != nil {
		return nil, err
	}
	staff := a.figures.counted(routeConsole, console)
	mux.Handle("/console", staff)
	mux.Handle("/console/", staff)
	mux.HandleFunc("GET "+page.StylePath(), page.Style)
	mux.HandleFunc("GET "+page.ScriptPath(), page.Script)
	keys := booking.NewKeys(a.db, a.log)
	a.onStop("API keys", func(context.Context) error { keys.Stop(); return nil })
	a.figures.expect(api.Routes()...)
	mux.Handle("/", api.New(api.Options{Service: a.service, Keys: keys, Texts: texts{a}, Story: story{a.db}, Now: sabotage.Now,
		TrustedProxies: a.cfg.TrustedProxies, Explain: explain, Served: a.figures.served, Tracer: a.tracer, Log: a.log, PublicURL: a.public, Reads: a.db.Readers() / 2}))
	return mux, nil
}

func (t Twilio) tokens() []string {
	if t.AuthTokenPrevious == "" {
		return []string{t.AuthToken}
	}
	return []string{t.AuthToken, t.AuthTokenPrevious}
}

// receive hands a checked callback to the notifier.
func (a *App) receive(ctx context.Context, r twilio.Receipt) error {
	sabotage.Point("callback.before_write")
	err := a.recorder.Receive(ctx, notifier.Receipt{Token: r.Token, SID: r.SID, Status: r.Status, ErrorCode: r.ErrorCode,
		Disposition: r.Disposition})
	sabotage.Point("callback.after_write")
	switch {
	case errors.Is(err, notifier.ErrUnknownAttempt), errors.Is(err, notifier.ErrForeign):
		return twilio.ErrUnknownAttempt
	case errors.Is(err, sqldb.ErrOverloaded), errors.Is(err, sqldb.ErrStopped):
		return twilio.ErrBusy
	}
	return err
}

// texts is the API's look into the notifier.
type texts struct{ app *App }

// Texts implements api.TextsReader.
func (t texts) Texts(ctx context.Context, ids []string) (map[string][]api.Text, error) {
	found, err := notifier.Texts(ctx, t.app.db, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]api.Text, len(found))
	for id, list := range found {
		for _, s := range list {
			if s.Recipient == event.Former { // no person of the reservation
				continue
			}
			text := api.Text{Recipient: string(s.Recipient), Version: s.Version, Resend: s.Resend, Kind: string(s.Kind), State: string(s.State), Attempts: s.Attempts, Reason: s.Reason}
			if s.AcceptedAt != nil {
				text.AcceptedAt = &s.AcceptedAt.Time
			}
			if s.DeliveredAt != nil {
				text.DeliveredAt = &s.DeliveredAt.Time
			}
			out[id] = append(out[id], text)
		}
	}
	return out, nil
}

// story is the API's look back over all stages.
type story struct{ db *sqldb.DB }

// Timeline implements api.TimelineReader.
func (s story) Timeline(ctx context.Context, id string) ([]api.TimelineEntry, error) {
	entries, err := timeline.Read(ctx, s.db, id)
	if err != nil {
		return nil, err
	}
	out := make([]api.TimelineEntry, 0, len(entries))
	for _, e := range entries {
		if e.Recipient == event.Former { // no person of the reservation; staff see these in the console
			continue
		}
		out = append(out, api.TimelineEntry{At: e.At, Type: string(e.Type), Version: e.Version, Slot: e.Slot, Recipient: string(e.Recipient),
			Kind: string(e.Kind), Resend: e.Resend, Attempt: e.Attempt, Reason: e.Reason, Note: e.Note, Sentence: e.Sentence})
	}
	return out, nil
}

// LookAtTexts is booking's look into the notifier before texts are sent again.
func LookAtTexts(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
	found, err := notifier.Looking(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[event.Recipient]booking.NewestText, len(found))
	for id, texts := range found {
		out[id] = make(map[event.Recipient]booking.NewestText, len(texts))
		for to, n := range texts {
			if to == event.Former {
				continue
			}
			out[id][to] = booking.NewestText{Version: n.Version, Resend: n.Resend, State: string(n.State)}
		}
	}
	return out, nil
}

// startPage leads to everything that there is.
func (a *App) startPage() (http.Handler, error) {
	page, err := template.New("start").Parse(startHTML)
	if err != nil {
		return nil, err
	}
	links := append([]Link{}, a.cfg.Links...)
	links = append(links,
		Link{"/r", "Am I booked?", "the resident's page: code and birth date, the text again, move, cancel"},
		Link{"/console", "Support console", "for those who answer residents: find, see the story, send again, correct, cancel"},
		Link{"/docs", "Documentation", "the API for those who program against it, with a quick start"},
		Link{"/openapi.json", "API", "the HTTP contract as OpenAPI 3.1"},
		Link{"/v1/programmes", "Programmes", "windows and rules as data (needs an API key)"},
		Link{"/readyz", "Readiness", "what works and what is degraded"},
		Link{"/metrics", "Metrics", "figures for Prometheus"},
	)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if err := page.Execute(w, links); err != nil {
			a.log.Debug("the start page was not read to its end", "error", err)
		}
	}), nil
}
