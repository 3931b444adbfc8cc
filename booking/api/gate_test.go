package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"ansim/booking"
)

// slow is a service whose reads wait until they are let go.
type slow struct {
	nothing
	entered chan struct{}
	release chan struct{}
}

func (s slow) Get(ctx context.Context, c booking.Client, id string) (booking.Reservation, error) {
	s.entered <- struct{}{}
	<-s.release
	return s.nothing.Get(ctx, c, id)
}

// When the database is slow, so many reads are in it, so many wait, the others are told at once to come again, and bookings go
// on. What waited is answered.
func TestFloodOfReads(t *testing.T) {
	t.Parallel()
	const inside, waiting = 3, 50
	s := slow{entered: make(chan struct{}, inside), release: make(chan struct{})}
	api := &server{service: s, keys: nothing{}, reads: newGate(inside)}
	api.reads.most, api.reads.wait = waiting, time.Hour
	h := api.handler()
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(headerKey, "k")
		h.ServeHTTP(w, r)
		return w
	}
	answers := make(chan int, inside+waiting)
	for range inside + waiting {
		go func() { answers <- ask("GET", "/v1/reservations/x", "").Code }()
	}
	for range inside {
		<-s.entered
	}
	for api.reads.waiting.Load() < waiting {
		runtime.Gosched()
	}
	w := ask("GET", "/v1/reservations/x", "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "/problems/overloaded") {
		t.Errorf("one more read: %d %s", w.Code, w.Body)
	}
	if w := ask("POST", "/v1/reservations", goodBody); w.Code != http.StatusCreated {
		t.Errorf("a booking meanwhile: %d %s", w.Code, w.Body)
	}
	go func() {
		for range s.entered { // those that get in later
		}
	}()
	close(s.release)
	for range inside + waiting {
		if code := <-answers; code != http.StatusOK {
			t.Errorf("what was let in or waited: %d", code)
		}
	}
	close(s.entered)
}

// Who hangs up while waiting leaves the queue.
func TestGateHangUp(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	leave, err := g.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ctx); !errors.Is(err, context.Canceled) || g.waiting.Load() != 0 {
		t.Errorf("%v, %d wait", err, g.waiting.Load())
	}
	leave()
	if leave, err = g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	leave()
}
