package notifier

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the notifier's figures. No label carries anything personal.
type Metrics struct {
	requests   *prometheus.CounterVec
	rescued    prometheus.Counter
	duplicates prometheus.Counter
	parked     prometheus.Counter
	paused     prometheus.Gauge
	accepted   prometheus.Histogram
	delivered  prometheus.Histogram
	looks      *prometheus.CounterVec
}

// NewMetrics makes the notifier's figures and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	buckets := []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ansim_provider_requests_total",
			Help: "Requests to send a text, by what their answer proves."}, []string{"class"}),
		rescued: prometheus.NewCounter(prometheus.CounterOpts{Name: "ansim_sweeper_rescued_total",
			Help: "Messages that the sweeper made because Kafka did not bring them."}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: "ansim_duplicate_texts_total",
			Help: "Texts that the provider took beyond the first of a message, after an answer was lost."}),
		parked: prometheus.NewCounter(prometheus.CounterOpts{Name: "ansim_parked_events_total",
			Help: "Events that the intake could not read and set aside."}),
		paused: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ansim_sender_paused",
			Help: "1 while the sender rests because the provider refuses our account or asks for fewer requests."}),
		accepted: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ansim_commit_to_accepted_seconds",
			Help: "From the booking's commit to the provider's acceptance.", Buckets: buckets}),
		delivered: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ansim_commit_to_delivered_seconds",
			Help: "From the booking's commit to the phone's confirmation.", Buckets: buckets}),
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ansim_reconcile_looks_total",
			Help: "Look-ups of unknown outcomes in the provider's list, by result."}, []string{"result"}),
	}
	reg.MustRegister(m.requests, m.rescued, m.duplicates, m.parked, m.paused, m.accepted, m.delivered, m.looks)
	return m
}

// tally is what a transaction changed that the metrics count once it is committed.
type tally struct {
	accepted, delivered []float64 // seconds since the booking's commit
	duplicates          int
}

// progress is how far a message was.
type progress struct {
	accepted, delivered bool
	taken               int
}

func progressOf(m *Message) progress {
	p := progress{accepted: m.AcceptedAt != nil, delivered: m.DeliveredAt != nil}
	for _, a := range m.log {
		if a.State.taken() {
			p.taken++
		}
	}
	return p
}

func (t *tally) count(before progress, m *Message, now time.Time) {
	after := progressOf(m)
	since := now.Sub(m.EventAt.Time).Seconds()
	if after.accepted && !before.accepted {
		t.accepted = append(t.accepted, since)
	}
	if after.delivered && !before.delivered {
		t.delivered = append(t.delivered, since)
	}
	if after.taken > before.taken && after.taken > 1 {
		t.duplicates++
	}
}

func (m *Metrics) add(t tally) {
	for _, s := range t.accepted {
		m.accepted.Observe(s)
	}
	for _, s := range t.delivered {
		m.delivered.Observe(s)
	}
	m.duplicates.Add(float64(t.duplicates))
}
