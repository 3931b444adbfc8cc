package rush

import (
	"context"
	"math"
	"net/http"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// lookEvery is the time between two looks at everything. Each costs the database a few milliseconds, more while much waits.
const lookEvery = time.Second

// sample is how far the night was at a moment.
type sample struct {
	At time.Time
	tally
	Published   int64 // events that Kafka has
	Texted      int64 // texts that the network took
	Arrived     int64 // texts on their phones
	Told        bool  // a process of the service told of what waits; else it is as it was at the look before
	WaitPublish int64 // outbox rows that are not in Kafka yet
	WaitSend    int64 // messages to be sent or under way
	Unknown     int64 // messages whose answer was lost
	LagTold     bool  // a process told of Lag
	Lag         int64 // records in Kafka that the notifiers have not taken in, as the brokers said within the last five seconds
}

// watcher looks at the night from outside, as an operator's Prometheus would.
type watcher struct {
	st *stage

	mu      sync.Mutex
	tally   tally
	samples []sample
}

// hear notes how far the crowd is.
func (w *watcher) hear(t tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally = t
}

// watch looks until ctx ends.
func (w *watcher) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx, false)
		}
	}
}

// look takes a sample, the last one when the night is over. That one has time, since what it cannot ask is not asked any more.
func (w *watcher) look(ctx context.Context, over bool) {
	limit := 2 * time.Second
	if over {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w.mu.Lock()
	s := sample{tally: w.tally}
	if n := len(w.samples); n > 0 { // what cannot be asked now is as it was
		last := w.samples[n-1]
		last.tally, last.Told, last.LagTold = w.tally, false, false
		s = last
	}
	w.mu.Unlock()
	s.At = time.Now()
	if stats, err := w.st.network.stats(ctx); err == nil {
		s.Texted = int64(stats.Taken)
		s.Arrived = int64(stats.States["delivered"])
	}
	asked := map[string]bool{}
	for _, m := range append(w.st.all("relay"), w.st.all("notifier")...) { // each tells of the whole installation
		if asked[m.addr] {
			continue
		}
		asked[m.addr] = true
		figures, err := scrape(ctx, m.addr)
		if err != nil {
			continue // it is down, or on its way up
		}
		if v, ok := sum(figures["ansim_consumer_lag_records"], ""); ok {
			s.Lag, s.LagTold = int64(v), true
		}
		if v, ok := sum(figures["ansim_outbox_backlog_rows"], ""); ok {
			s.WaitPublish = int64(v)
		}
		if f := figures["ansim_messages_waiting"]; f != nil {
			s.Told = true
			pending, _ := sum(f, "pending")
			sending, _ := sum(f, "sending")
			unknown, _ := sum(f, "unknown")
			s.WaitSend, s.Unknown = int64(pending+sending), int64(unknown)
		}
	}
	// Not the relays' own counters: what a killed process had counted since the last look is in none of them.
	var published int64
	if err := w.st.db.Peek(ctx, &published, `SELECT CAST(COALESCE(SUM(published), 0) AS bigint) FROM outbox_relay`); err == nil {
		s.Published = published
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = append(w.samples, s)
	if w.st.Watch != nil {
		w.st.Watch(w.progress(s, over))
	}
}

// progress is a sample in the words of whoever watches.
func (w *watcher) progress(s sample, over bool) Progress {
	toCome := int64(w.st.People) - s.Booked - s.Refused
	return Progress{At: s.At.Sub(w.st.gate), People: w.st.People, Clicked: s.Clicked, Booked: s.Booked, Refused: s.Refused,
		Published: s.Published, Texted: s.Texted, Arrived: s.Arrived, Over: over,
		Events: max(s.Booked, s.Published+s.WaitPublish) + toCome, Texts: max(s.Booked, s.Texted+s.WaitSend+s.Unknown) + toCome}
}

// all are the samples so far.
func (w *watcher) all() []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sample(nil), w.samples...)
}

// scrape reads a process's metrics.
func scrape(ctx context.Context, addr string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(res.Body)
}

// sum adds up a family's values, those with the label state when one is asked for; false when there are none.
func sum(f *dto.MetricFamily, state string) (total float64, ok bool) {
	for _, m := range f.GetMetric() {
		if state != "" && !labelled(m, state) {
			continue
		}
		v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			total, ok = total+v, true
		}
	}
	return total, ok
}

func labelled(m *dto.Metric, state string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == "state" && l.GetValue() == state {
			return true
		}
	}
	return false
}
