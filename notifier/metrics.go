package notifier

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the notifier's figures. No label carries anything personal.
type Metrics struct {
	requests   *prometheus.CounterVec
	codes      *prometheus.CounterVec
	segments   prometheus.Counter
	further    *prometheus.CounterVec
	rescued    prometheus.Counter
	duplicates prometheus.Counter
	parked     prometheus.Counter
	accepted   prometheus.Histogram
	delivered  prometheus.Histogram
	looks      *prometheus.CounterVec
	polls      *prometheus.CounterVec
	lost       prometheus.Counter
	resolved   prometheus.Counter
	beats      *prometheus.GaugeVec
	pace       atomic.Pointer[pacer]
	now        func() time.Time
}

// paceStates are all that a pacer can be in.
var paceStates = []paceState{paceOK, paceThrottled, paceAway, paceRefused}

// NewMetrics makes the notifier's figures and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	buckets := []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		now:      time.Now,
		requests: counters("ansim_provider_requests_total", "Requests to send a text, by what their answer proves.", "class"),
		codes: counters("ansim_provider_codes_total", "Refusals by the provider's error code and what is done about it; "+
			"code unlisted: one that this program's table does not hold.", "code", "disposition"),
		segments: counter("ansim_segments_total", "Segments that the provider has accepted."),
		further: counters("ansim_further_attempts_total", "Attempts after the first of a text, by the state that the text was in.",
			"state"),
		rescued: counter("ansim_sweeper_rescued_total", "Messages that the sweeper made because Kafka did not bring them."),
		duplicates: counter("ansim_duplicate_texts_total", "Texts that the provider took, beyond the first of a message, while "+
			"another of it had arrived or may still arrive."),
		parked: counter("ansim_parked_events_total", "Events that the intake could not read and set aside."),
		accepted: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ansim_commit_to_accepted_seconds",
			Help: "From the booking's commit to the provider's acceptance.", Buckets: buckets}),
		delivered: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ansim_commit_to_delivered_seconds",
			Help: "From the booking's commit to the phone's confirmation.", Buckets: buckets}),
		looks: counters("ansim_reconcile_looks_total", "Look-ups of unknown outcomes in the provider's list, by result.", "result"),
		polls: counters("ansim_receipt_polls_total", "Questions for receipts that did not come, by result.", "result"),
		lost:  counter("ansim_unknown_total", "Requests to send a text of which it is not known whether the provider took it."),
		resolved: counter("ansim_unknown_resolved_total", "Of them, those of which it became known: by a receipt, a late answer or the "+
			"provider's list."),
		beats: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ansim_job_last_round_timestamp_seconds",
			Help: "When each of the process's tasks last ended a round without an error; before its first, when it started."}, []string{"task"}),
	}
	// The alarm about unlisted codes would not see the first one if its series were born with it.
	for _, d := range []Disposition{Permanent, OptedOut, Configuration, Later} {
		m.codes.WithLabelValues(unlisted, string(d))
	}
	reg.MustRegister(m.requests, m.codes, m.segments, m.further, m.rescued, m.duplicates, m.parked, m.accepted, m.delivered,
		m.looks, m.polls, m.lost, m.resolved, m.beats,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ansim_sender_slots",
			Help: "Requests that this process may have under way, as the provider's answers allow."}, func() float64 {
			if p := m.pace.Load(); p != nil {
				_, slots := p.status()
				return float64(slots)
			}
			return 0
		}))
	for _, s := range paceStates {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ansim_sender_state",
			Help: "1 for how this process's sender sees the provider.", ConstLabels: prometheus.Labels{"state": string(s)}}, func() float64 {
			if p := m.pace.Load(); p != nil {
				if is, _ := p.status(); is == s {
					return 1
				}
			}
			return 0
		}))
	}
	return m
}

// watch shows how p fares.
func (m *Metrics) watch(p *pacer) { m.pace.Store(p) }

// Beat says that a task of this process starts, or has ended a round without an error. To have had nothing to do, or to stand by, is
// such a round; to have failed is none, so that what fails each time is seen by its age.
func (m *Metrics) Beat(task string) {
	m.beats.WithLabelValues(task).Set(float64(m.now().UnixMilli()) / 1000)
}

// unlisted is the label of every code that the provider's table does not hold.
const unlisted = "unlisted"

// code counts an answer that named an error code. What is unlisted shares one label: an answer may hold any number.
func (m *Metrics) code(o Outcome) {
	code := strconv.Itoa(o.Code)
	if o.Unlisted {
		code = unlisted
	}
	disposition := string(o.Disposition)
	if disposition == "" {
		disposition = string(o.Class)
	}
	m.codes.WithLabelValues(code, disposition).Inc()
}

// tally is what a transaction changed that the metrics count once it is committed.
type tally struct {
	accepted, delivered []float64 // seconds since the booking's commit
	duplicates          int
	lost, resolved      int // attempts
}

// progress is how far a message was.
type progress struct {
	accepted, delivered bool
	copies              int // attempts that arrived or may still arrive
	lost, unknown       int // attempts whose outcome was ever, and is, unknown
}

func progressOf(m *Message) progress {
	return progress{accepted: m.AcceptedAt != nil, delivered: m.DeliveredAt != nil, copies: m.count(AttemptState.alive),
		lost: lostAnswers(m), unknown: m.unknowns()}
}

// lostAnswers is how many attempts were ever of unknown outcome.
func lostAnswers(m *Message) (n int) {
	for _, a := range m.log {
		if a.UnknownAt != nil {
			n++
		}
	}
	return n
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
	if after.copies > before.copies && after.copies > 1 {
		t.duplicates += after.copies - max(before.copies, 1)
	}
	lost := after.lost - before.lost
	t.lost += lost
	t.resolved += before.unknown + lost - after.unknown
}

func (m *Metrics) add(t tally) {
	for _, s := range t.accepted {
		m.accepted.Observe(s)
	}
	for _, s := range t.delivered {
		m.delivered.Observe(s)
	}
	m.duplicates.Add(float64(t.duplicates))
	m.lost.Add(float64(t.lost))
	m.resolved.Add(float64(t.resolved))
}
