package app

import (
	"context"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/booking"
	"ansim/notifier"
	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/tracing"
)

// figures are what /metrics shows beyond the notifier's own: of this process, of the whole installation as the database has it,
// and of Kafka as the brokers have it. Their meaning, and what to do when they look bad, is in monitoring/RUNBOOK.md.
type figures struct {
	app       *App
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	published prometheus.Histogram
	lag       atomic.Pointer[map[int]kafka.Offsets] // nil while the brokers do not say
	oversold  atomic.Int64
	away      atomic.Bool // the database, when it was looked at last
}

// latencies suit what should take milliseconds and may take half a minute.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newFigures(a *App) *figures {
	f := &figures{app: a,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ansim_http_requests_total",
			Help: "Answers of the API, of the pages for people and to the provider's callbacks."}, []string{"route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ansim_http_request_seconds",
			Help: "From a request's header to its answer's end.", Buckets: latencies}, []string{"route"}),
		published: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ansim_commit_to_published_seconds",
			Help: "From a change's commit to Kafka's confirmation, by the clocks of the database and of this machine.", Buckets: latencies}),
	}
	a.registry.MustRegister(f)
	return f
}

// relayed notes that Kafka has an event, and how old that was.
func (f *figures) relayed(e event.Event) {
	f.published.Observe(max(0, time.Since(e.Time).Seconds()))
	s := f.app.tracer.Follow(e.Traceparent, "publish", tracing.Producer, e.Time)
	s.Note("messaging.system", "kafka")
	s.Note("messaging.destination.name", event.Topic)
	s.Note("ansim.reservation_id", e.ReservationID)
	s.Note("ansim.event_id", e.ID)
	s.End()
}

// How often what is asked for the figures alone is asked.
const (
	brokerLook   = 5 * time.Second
	databaseLook = 2 * time.Second
	oversoldLook = 10 * time.Second
)

// databaseWait is how long the database may take to answer, for a look and for Prometheus, which gives a process 10 s.
const databaseWait = 3 * time.Second

// watch asks the brokers and the database again and again, so that neither a readiness probe nor Prometheus waits for them.
func (f *figures) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	var jobs sync.WaitGroup
	every := func(d time.Duration, look func(context.Context)) {
		jobs.Go(func() {
			t := time.NewTicker(d)
			defer t.Stop()
			for {
				look(ctx)
				select {
				case <-ctx.Done():
					return
				case <-t.C:
				}
			}
		})
	}
	every(brokerLook, f.lookAtBroker)
	every(databaseLook, f.lookAtDatabase)
	if f.app.cfg.has(API) {
		tour := booking.NewOversoldLook(f.app.db)
		f.app.metrics.Beat("oversold")
		every(oversoldLook, func(ctx context.Context) { f.lookForOversold(ctx, tour) })
	}
	f.app.onStop("figures", func(context.Context) error { cancel(); jobs.Wait(); return nil })
}

func (f *figures) lookAtBroker(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	state := "ok"
	var lag *map[int]kafka.Offsets
	if offsets, err := kafka.ReadOffsets(ctx, f.app.cluster, ""); err == nil {
		lag = &offsets
	} else if _, err := kafka.ClusterID(ctx, f.app.cluster); err != nil { // a cluster without the topic is there, too
		state = "away"
	}
	f.app.health.broker.Store(&state)
	f.lag.Store(lag)
}

// lookAtDatabase finds out whether it answers, so that a database that hangs does not keep Prometheus waiting each time.
func (f *figures) lookAtDatabase(ctx context.Context) {
	look, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	var answer int
	err := f.app.db.Peek(look, &answer, "SELECT 1")
	if ctx.Err() != nil {
		return
	}
	if away := err != nil; f.away.Swap(away) != away {
		if away {
			f.app.log.Error("the database does not answer; nobody can book, and no text goes out", "error", err)
		} else {
			f.app.log.Info("the database answers again")
		}
	}
}

func (f *figures) lookForOversold(ctx context.Context, tour *booking.OversoldLook) {
	n, err := tour.Look(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.app.log.Warn("cannot count what is oversold for metrics", "error", err)
	default:
		f.app.metrics.Beat("oversold")
		f.oversold.Store(n)
		if n > 0 {
			f.app.log.Error("slots have more reservations than places; this must never be", "slots", n, "do", "run `ansim check`")
		}
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// What is read when Prometheus asks. The first group is of the process, the second of the installation: every process tells the
// same of it.
var (
	brokerUp  = desc("ansim_broker_up", "1 while the Kafka brokers answer.")
	dbUp      = desc("ansim_database_up", "1 while this process's database answers; at 0 the figures of the installation are absent.")
	lagDesc   = desc("ansim_consumer_lag_records", "Records of the topic that the intake has yet to take in, as the brokers count; absent while they do not answer.", "partition")
	leading   = desc("ansim_relay_leading", "1 while this process's relay leads.")
	failing   = desc("ansim_relay_failing", "1 while Kafka refuses the relay's events.")
	relayed   = desc("ansim_relay_published_total", "Events that this process's relay has published, repeats included.")
	bookQueue = desc("ansim_booking_queue", "Requests that wait for this process's writer.")

	oversold = desc("ansim_oversold_slots", "Coming slots with more reservations than places, as the last tour through all of them found; must be 0.")
	oldest   = desc("ansim_oldest_unconfirmed_seconds", "Age of the oldest committed change whose text the provider has not accepted; "+
		"the master alarm: it sees a dead relay, a dead notifier and a lost Kafka alike.")
	messages    = desc("ansim_messages_waiting", "Messages that are not finished, by state; person: held or failed, somebody has to decide.", "state")
	messagesAge = desc("ansim_messages_oldest_seconds", "Since when the oldest of them waits, by state; 0 when there is none.", "state")
	parked      = desc("ansim_parked_events", "Events and outbox rows that are set aside because they cannot be used.")
	rate        = desc("ansim_texts_per_second", "Texts that all notifiers together get accepted a second, averaged over some 10 s.")
	drain       = desc("ansim_drain_seconds", "How long it takes to send what waits at that rate; +Inf while nothing is sent.")
	notifiers   = desc("ansim_notifiers", "Notifiers that run, by how they see the provider.", "state")
	frozen      = desc("ansim_sending_frozen", "1 while sending is frozen: no text goes out until somebody says `ansim resume`.")
	rows        = desc("ansim_outbox_backlog_rows", "Outbox rows that the relay has not published.")
	rowsAge     = desc("ansim_outbox_oldest_seconds", "Age of the oldest outbox row that the relay has not published.")
)

// Describe implements prometheus.Collector.
func (f *figures) Describe(ch chan<- *prometheus.Desc) {
	f.requests.Describe(ch)
	f.durations.Describe(ch)
	f.published.Describe(ch)
	for _, d := range []*prometheus.Desc{brokerUp, dbUp, lagDesc, leading, failing, relayed, bookQueue, oversold, oldest, messages, messagesAge,
		parked, rate, drain, notifiers, frozen, rows, rowsAge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *figures) Collect(ch chan<- prometheus.Metric) {
	f.requests.Collect(ch)
	f.durations.Collect(ch)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(brokerUp, one(*f.app.health.broker.Load() == "ok"))
	if lag := f.lag.Load(); lag != nil {
		for p, o := range *lag {
			gauge(lagDesc, float64(o.Lag()), strconv.Itoa(p))
		}
	}
	if r := f.app.relay; r != nil {
		f.published.Collect(ch)
		gauge(leading, one(r.Leading()))
		gauge(failing, one(r.Failing()))
		ch <- prometheus.MustNewConstMetric(relayed, prometheus.CounterValue, float64(r.Published()))
	}
	if f.app.service != nil {
		gauge(bookQueue, float64(f.app.service.Waiting()))
		gauge(oversold, float64(f.oversold.Load()))
	}
	up := !f.away.Load()
	if up {
		if err := f.installation(gauge); err != nil {
			f.app.log.Warn("cannot read the backlog for metrics", "error", err)
			up = false
		}
	}
	gauge(dbUp, one(up))
}

// installation tells how much waits, from the database: everything, or nothing and an error.
func (f *figures) installation(gauge func(*prometheus.Desc, float64, ...string)) error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseWait)
	defer cancel()
	db := f.app.db
	waiting, err := notifier.Waiting(ctx, db)
	if err != nil {
		return err
	}
	backlog, first, err := outbox.Backlog(ctx, db)
	if err != nil {
		return err
	}
	overdue, err := f.app.lookout.Overdue(ctx)
	if err != nil {
		return err
	}
	sending, err := notifier.ReadSending(ctx, db)
	if err != nil {
		return err
	}
	aside, err := notifier.Aside(ctx, db)
	if err != nil {
		return err
	}
	age := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(0, time.Since(t).Seconds())
	}
	gauge(oldest, max(age(waiting.Oldest), age(first), age(overdue)))
	for state, n := range map[string]int64{"pending": waiting.Pending, "sending": waiting.Sending, "unknown": waiting.Unknown,
		"undelivered": waiting.Undelivered, "person": waiting.Person} {
		gauge(messages, float64(n), state)
	}
	for state, since := range waiting.Since {
		gauge(messagesAge, age(since), state)
	}
	gauge(parked, float64(aside))
	gauge(rate, waiting.Rate)
	if d, known := waiting.Drain(); known {
		gauge(drain, d.Seconds())
	} else {
		gauge(drain, math.Inf(1))
	}
	for state, n := range waiting.States() {
		gauge(notifiers, float64(n), state)
	}
	gauge(frozen, one(sending.Frozen))
	gauge(rows, float64(backlog))
	gauge(rowsAge, age(first))
	return nil
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
