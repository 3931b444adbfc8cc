package console

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/page"
)

const (
	// sampleEvery is the time between two samples of the figures, which the charts are drawn from; more when the database is slow,
	// so that looking takes at most a twentieth of its time.
	sampleEvery = 5 * time.Second
	// samplesKept is ten minutes of them.
	samplesKept = 120
)

// sample is how the figures were.
type sample struct {
	at      time.Time
	booked  int64 // active reservations
	backlog notifier.Backlog
	frozen  bool // no text is sent until an operator says so
}

// figures keeps the last samples of this process.
type figures struct {
	mu      sync.Mutex
	samples []sample
}

func (f *figures) add(s sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.samples = append(f.samples, s); len(f.samples) > samplesKept {
		f.samples = append([]sample{}, f.samples[len(f.samples)-samplesKept:]...)
	}
}

func (f *figures) all() []sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]sample{}, f.samples...)
}

// measure looks at the figures now.
func (c *Console) measure(ctx context.Context) (s sample, err error) {
	s.at = c.opts.Now()
	if s.backlog, err = c.opts.Waiting(ctx); err != nil {
		return s, err
	}
	if s.booked, err = booking.Taken(ctx, c.opts.DB); err != nil {
		return s, err
	}
	sending, err := notifier.ReadSending(ctx, c.opts.DB)
	s.frozen = sending.Frozen
	return s, err
}

// Run keeps the figures and does what staff set off for many at once, until ctx ends. Of several processes each may run it.
func (c *Console) Run(ctx context.Context) {
	var jobs sync.WaitGroup
	jobs.Go(func() { c.worker.Work(ctx) })
	jobs.Go(func() { c.watch(ctx) })
	jobs.Wait()
}

func (c *Console) watch(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		began := time.Now()
		if s, err := c.measure(ctx); err == nil {
			c.figures.add(s)
		} else if ctx.Err() == nil {
			c.opts.Log.Warn("the figures could not be read", "error", err)
		}
		t.Reset(max(sampleEvery, 20*time.Since(began)))
	}
}

// waitingView is how far the texts are.
type waitingView struct {
	Booked, Waiting, LookingUp, Person int64
	PerSecond                          string
	Drain                              string // how long it takes; "" while nothing goes out
	Oldest                             string // since when somebody waits, "" when nobody does
	Notifiers                          int
	Provider                           string
	Late                               bool // the provider is not as it should be
	Charts                             map[string]chart
}

// chart is a line of the last minutes, of the size 120 × 32.
type chart struct {
	Points string
	Most   string // the highest value
	Says   string // for who does not see it
}

// waiting is the figures as the page shows them.
func (v *visit) waiting(now sample, before []sample) *waitingView {
	w := now.backlog
	f := &waitingView{Booked: now.booked, Waiting: w.Pending + w.Sending, LookingUp: w.Unknown, Person: w.Person, PerSecond: fmt.Sprintf("%.1f", w.Rate),
		Notifiers: len(w.Processes)}
	if d, known := w.Drain(); known && f.Waiting > 0 {
		f.Drain = page.Span(v.lang, d)
	}
	if !w.Oldest.IsZero() {
		f.Oldest = page.Span(v.lang, v.now.Sub(w.Oldest))
	}
	state := w.Health()
	if now.frozen {
		state = "frozen"
	}
	f.Provider, f.Late = words["provider-"+state].In(v.lang), state != "ok"
	before = append(before, now)
	line := func(of func(sample) float64) (values []float64) {
		for _, s := range before {
			values = append(values, of(s))
		}
		return values
	}
	f.Charts = map[string]chart{
		"booked":  v.chart(line(func(s sample) float64 { return float64(s.booked) })),
		"sent":    v.chart(line(func(s sample) float64 { return s.backlog.Rate })),
		"waiting": v.chart(line(func(s sample) float64 { return float64(s.backlog.Pending + s.backlog.Sending) })),
		"oldest": v.chart(line(func(s sample) float64 {
			if s.backlog.Oldest.IsZero() {
				return 0
			}
			return max(0, s.at.Sub(s.backlog.Oldest).Seconds())
		})),
	}
	return f
}

// chart draws values from left, the oldest, to right; one value is a level line.
func (v *visit) chart(values []float64) chart {
	const width, height, pad = 120, 32, 2
	if len(values) == 1 {
		values = append(values, values[0])
	}
	most := 0.0
	for _, x := range values {
		most = max(most, x)
	}
	scale := most
	if scale == 0 {
		scale = 1
	}
	var b strings.Builder
	for i, x := range values {
		fmt.Fprintf(&b, "%.1f,%.1f ", float64(i)*width/float64(len(values)-1), height-pad-(height-2*pad)*x/scale)
	}
	c := chart{Points: strings.TrimSpace(b.String()), Most: fmt.Sprintf("%.4g", math.Round(most*10)/10)}
	c.Says = fmt.Sprintf(words["chart"].In(v.lang), c.Most)
	return c
}
