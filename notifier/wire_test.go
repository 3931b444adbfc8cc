package notifier_test

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// wire stands between the notifier and the phone network and keeps the times of all requests for a text. It can hold them
// up. What it counts is what the provider sees of us, whatever we say ourselves.
type wire struct {
	next http.Handler

	mu     sync.Mutex
	calls  []*call       // requests for a text, in the order in which they came
	under  int           // of them, those under way
	gate   chan struct{} // closed when they may pass
	opened bool
	reads  int // requests for a list or one text
}

// call is one request for a text.
type call struct {
	came, went time.Time // went is zero while it is under way
	beside     int       // how many were under way when it came, itself included
	answered   int       // how many had been answered when it came
}

func newWire(next http.Handler) *wire {
	w := &wire{next: next, gate: make(chan struct{})}
	w.open()
	return w
}

// ServeHTTP implements http.Handler.
func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/Messages.json") {
		w.mu.Lock()
		w.reads++
		w.mu.Unlock()
		w.next.ServeHTTP(rw, r)
		return
	}
	c, gate := w.begin()
	defer w.end(c) // also when the handler ends the connection by a panic
	select {
	case <-gate: // a network takes also what its sender has given up
	default:
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	w.next.ServeHTTP(rw, r)
}

func (w *wire) begin() (*call, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under++
	c := &call{came: time.Now(), beside: w.under, answered: len(w.calls) + 1 - w.under}
	w.calls = append(w.calls, c)
	return c, w.gate
}

func (w *wire) end(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under--
	c.went = time.Now()
}

// shut holds up requests for a text until open.
func (w *wire) shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opened {
		w.gate, w.opened = make(chan struct{}), false
	}
}

// open lets requests pass. It may be called twice.
func (w *wire) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.opened {
		close(w.gate)
		w.opened = true
	}
}

// count is how many requests for a text have come.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// underWay is how many requests for a text are under way.
func (w *wire) underWay() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.under
}

// asked is how many lists and texts were asked for.
func (w *wire) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads
}

// since gives copies of the requests for a text after the first n.
func (w *wire) since(n int) []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []call
	for _, c := range w.calls[n:] {
		out = append(out, *c)
	}
	return out
}
