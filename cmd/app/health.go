package app

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"ansim/notifier"
	"ansim/schema"
)

// health answers /healthz and /readyz. Ready means that this process can do its work; what only slows the texts down (a
// broker or provider that is away) is named as degraded and stops nothing.
type health struct {
	app    *App
	broker atomic.Pointer[string] // "ok" or "away", as last seen
}

func newHealth(a *App) *health {
	h := &health{app: a}
	unknown := "unknown"
	h.broker.Store(&unknown)
	return h
}

type readiness struct {
	Status   string            `json:"status"` // ready, degraded, not-ready
	Roles    []Role            `json:"roles"`
	Checks   map[string]string `json:"checks"`
	Leading  *bool             `json:"relay_leading,omitempty"`
	Texts    *textsWaiting     `json:"texts,omitempty"`
	ServerAt time.Time         `json:"server_time"`
}

// textsWaiting is how far the texts are, of the whole installation.
type textsWaiting struct {
	Waiting   int64    `json:"waiting"`         // to be sent, or on their way to the provider
	LookingUp int64    `json:"looking_up"`      // of unknown outcome
	Person    int64    `json:"need_a_person"`   // held or failed
	PerSecond float64  `json:"per_second"`      // accepted lately
	Drain     *float64 `json:"drain_seconds"`   // null while nothing is sent
	Oldest    float64  `json:"oldest_seconds"`  // since when somebody waits
	Notifiers int      `json:"notifiers_alive"` // in all processes
}

func (h *health) texts(ctx context.Context) *textsWaiting {
	w, err := notifier.Waiting(ctx, h.app.db)
	if err != nil {
		return nil // the database's own check says more
	}
	out := &textsWaiting{Waiting: w.Pending + w.Sending, LookingUp: w.Unknown, Person: w.Person, PerSecond: w.Rate, Notifiers: len(w.Processes)}
	if d, known := w.Drain(); known {
		s := d.Seconds()
		out.Drain = &s
	}
	if !w.Oldest.IsZero() {
		out.Oldest = max(0, time.Since(w.Oldest).Seconds())
	}
	return out
}

func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	out := readiness{Status: "ready", Roles: h.app.cfg.Roles, Checks: map[string]string{"database": "ok", "broker": *h.broker.Load()},
		ServerAt: time.Now().UTC()}
	if out.Checks["broker"] == "away" {
		out.Status = "degraded"
	}
	if n := h.app.notifier.Load(); n != nil {
		out.Checks["provider"] = n.Provider()
		if out.Checks["provider"] != "ok" {
			out.Status = "degraded"
		}
	}
	if s, err := notifier.ReadSending(ctx, h.app.db); err == nil { // else the database's own check says more
		out.Checks["sending"] = "ok"
		if s.Frozen {
			out.Status, out.Checks["sending"] = "degraded", "frozen: "+s.Reason
		}
	}
	if h.app.relay != nil {
		l := h.app.relay.Leading()
		out.Leading = &l
	}
	out.Texts = h.texts(ctx)
	code := http.StatusOK
	if err := schema.Check(ctx, h.app.db); err != nil {
		out.Status, code = "not-ready", http.StatusServiceUnavailable
		out.Checks["database"] = "away, or its schema does not fit"
		h.app.log.Warn("not ready", "error", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(out)
}
