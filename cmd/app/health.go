package app

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"encoding/json"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/notifier"
	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema"
	"ansim/schema/sqldb"
)

// health answers /healthz and /readyz. Ready means that this process can do its work; what only slows the texts down (a
// broker or provider that is away) is named as degraded and stops nothing.
type health struct {
	app    *App
	broker atomic.Pointer[string] // "ok" or "away", as last seen
}

func newHealth(a *App) *health {
	h := &health{app: a}
	a.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ansim_broker_up",
		Help: "1 while the Kafka brokers answer."}, func() float64 { return one(*h.broker.Load() == "ok") }))
	if r := a.relay; r != nil {
		a.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ansim_relay_leading",
				Help: "1 while this process's relay leads."}, func() float64 { return one(r.Leading()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ansim_relay_failing",
				Help: "1 while Kafka refuses the relay's events."}, func() float64 { return one(r.Failing()) }),
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "ansim_relay_published_total",
				Help: "Events that this process's relay has published, repeats included."}, func() float64 { return float64(r.Published()) }))
	}
	unknown := "unknown"
	h.broker.Store(&unknown)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.watch(ctx)
	}()
	a.onStop("broker watch", func(context.Context) error { cancel(); <-done; return nil })
	return h
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// watch asks the broker for its cluster every few seconds, so that a readiness probe never waits for it.
func (h *health) watch(ctx context.Context) {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	for {
		probe, cancel := context.WithTimeout(ctx, 3*time.Second)
		state := "ok"
		if _, err := kafka.ClusterID(probe, h.app.brokers); err != nil {
			state = "away"
		}
		cancel()
		h.broker.Store(&state)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
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

// backlogCollector reads how much waits when it is asked, from the database, so that every process tells the same.
type backlogCollector struct {
	db  *sqldb.DB
	log *slog.Logger

	oldest, messages, rate, drain, notifiers, rows, age, frozen *prometheus.Desc
}

func newBacklogCollector(db *sqldb.DB, log *slog.Logger) *backlogCollector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &backlogCollector{db: db, log: log,
		oldest: d("ansim_oldest_unconfirmed_seconds", "Age of the oldest committed change whose text the provider has not accepted; "+
			"the master alarm: it sees a dead relay, a dead notifier and a lost Kafka alike."),
		messages: d("ansim_messages_waiting", "Messages that are not finished, by state; person: held or failed, somebody has to decide.",
			"state"),
		rate:      d("ansim_texts_per_second", "Texts that all notifiers together get accepted a second, averaged over some 10 s."),
		drain:     d("ansim_drain_seconds", "How long it takes to send what waits at that rate; +Inf while nothing is sent."),
		notifiers: d("ansim_notifiers", "Notifiers that run, by how they see the provider.", "state"),
		rows:      d("ansim_outbox_backlog_rows", "Outbox rows that the relay has not published."),
		frozen:    d("ansim_sending_frozen", "1 while sending is frozen: no text goes out until somebody says `ansim resume`."),
		age:       d("ansim_outbox_oldest_seconds", "Age of the oldest outbox row that the relay has not published."),
	}
}

// Describe implements prometheus.Collector.
func (c *backlogCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.oldest, c.messages, c.rate, c.drain, c.notifiers, c.rows, c.age, c.frozen} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *backlogCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	waiting, err := notifier.Waiting(ctx, c.db)
	if err != nil {
		c.log.Warn("cannot read the backlog for metrics", "error", err)
		return
	}
	rows, first, err := outbox.Backlog(ctx, c.db)
	if err != nil {
		c.log.Warn("cannot read the backlog for metrics", "error", err)
		return
	}
	overdue, err := notifier.Overdue(ctx, c.db)
	if err != nil {
		c.log.Warn("cannot read the backlog for metrics", "error", err)
		return
	}
	sending, err := notifier.ReadSending(ctx, c.db)
	if err != nil {
		c.log.Warn("cannot read for metrics whether texts are sent", "error", err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	age := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(0, time.Since(t).Seconds())
	}
	gauge(c.oldest, max(age(waiting.Oldest), age(first), age(overdue)))
	gauge(c.messages, float64(waiting.Pending), "pending")
	gauge(c.messages, float64(waiting.Sending), "sending")
	gauge(c.messages, float64(waiting.Unknown), "unknown")
	gauge(c.messages, float64(waiting.Undelivered), "undelivered")
	gauge(c.messages, float64(waiting.Person), "person")
	gauge(c.rate, waiting.Rate)
	if d, known := waiting.Drain(); known {
		gauge(c.drain, d.Seconds())
	} else {
		gauge(c.drain, math.Inf(1))
	}
	for state, n := range waiting.States() {
		gauge(c.notifiers, float64(n), state)
	}
	gauge(c.frozen, one(sending.Frozen))
	gauge(c.rows, float64(rows))
	gauge(c.age, age(first))
}
