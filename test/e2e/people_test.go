package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// reservation is the API's, as far as tests look at it.
type reservation struct {
	ID     string `json:"id"`
	Code   string `json:"code"`
	Status string `json:"status"`
	Slot   struct {
		ID string `json:"id"`
	} `json:"slot"`
	Confirmation struct {
		State  string `json:"state"`
		Reason string `json:"reason"`
		Texts  []struct {
			Recipient string `json:"recipient"`
			Kind      string `json:"kind"`
			State     string `json:"state"`
		} `json:"texts"`
	} `json:"confirmation"`
	Type string `json:"type"` // of a problem
}

// answer is what came back from the API.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	replayed bool
}

func (a answer) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("status %d, and a body that is no JSON (%v): %s", a.status, err, a.body)
	}
}

// post sends body once; an error says that nothing is known about what it did.
func (in *installation) post(ctx context.Context, path, idempotencyKey string, body any) (answer, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, in.front.url+path, bytes.NewReader(b))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+in.key)
	req.Header.Set("Content-Type", "application/json")
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	return in.do(req)
}

func (in *installation) do(req *http.Request) (answer, error) {
	res, err := in.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b, res.Header.Get("Idempotent-Replayed") == "true"}, err
}

// read is GET /v1/reservations/{id}.
func (in *installation) read(ctx context.Context, id string) (r reservation, err error) {
	return r, in.get(ctx, "/v1/reservations/"+id, &r)
}

// errComeAgain is a 503.
var errComeAgain = errors.New("told to come again")

// get reads what is at a path of the API into v.
func (in *installation) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.front.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+in.key)
	a, err := in.do(req)
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusOK:
		return json.Unmarshal(a.body, v)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s", errComeAgain, a.body)
	default:
		return fmt.Errorf("status %d: %s", a.status, a.body)
	}
}

// person books one place, and cancels it when told so. What they know afterwards is the history that a test judges by.
type person struct {
	identity, name, phone, slot, language string
	cancels                               bool

	invoked  int // requests that were made
	unknown  int // of them, those whose answer never came or was no answer
	id, code string
	gone     bool // the cancellation was acknowledged
}

// crowd are people who all want a place. It is made of a seed, so that a run can be repeated.
type crowd struct {
	in     *installation
	people []*person
	pace   time.Duration // between one and the next who begins; 0: as fast as requestors are free
	booked atomic.Int64

	mu      sync.Mutex
	waiters map[int64]chan struct{} // closed when so many have booked
}

var familyNames = []string{"김", "이", "박", "최", "정", "강", "조", "윤"}

// crowdOf invents n people; one in cancelEvery cancels after booking, nobody when it is 0.
func (in *installation) crowdOf(seed uint64, n, cancelEvery int) *crowd {
	in.t.Logf("a crowd of %d, seed %d", n, seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	if n > len(in.slots)*capacity*9/10 {
		in.t.Fatalf("%d people do not fit into %d places", n, len(in.slots)*capacity)
	}
	c := &crowd{in: in, waiters: map[int64]chan struct{}{}}
	for i := range n {
		p := &person{
			identity: fmt.Sprintf("e2e-%d-%d", seed, i), name: familyNames[dice.IntN(len(familyNames))] + "길동",
			phone: fmt.Sprintf("010-%04d-%04d", 2000+dice.IntN(3900), dice.IntN(10000)), slot: in.slots[i%len(in.slots)],
			language: []string{"ko", "en"}[dice.IntN(2)], cancels: cancelEvery > 0 && i%cancelEvery == cancelEvery-1,
		}
		c.people = append(c.people, p)
	}
	return c
}

// requestors is how many of a crowd have a request under way.
const requestors = 24

// book lets everybody book, and cancel, until each has an answer: with the same Idempotency-Key again when there was none.
func (c *crowd) book(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(requestors)
	next := time.NewTicker(max(c.pace, time.Microsecond))
	defer next.Stop()
	for _, p := range c.people {
		if c.pace > 0 {
			select {
			case <-next.C:
			case <-ctx.Done():
			}
		}
		g.Go(func() error {
			if err := c.bookOne(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", p.identity, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// start is book in the background; the returned function waits for its end, at most limit from now.
func (c *crowd) start(limit time.Duration) (wait func()) {
	c.in.t.Helper()
	ctx, cancel := context.WithTimeout(c.in.t.Context(), limit)
	done := make(chan error, 1)
	go func() { done <- c.book(ctx) }()
	c.in.t.Cleanup(cancel)
	return func() {
		c.in.t.Helper()
		defer cancel()
		if err := <-done; err != nil {
			c.in.t.Fatalf("not everybody could book: %v (%d of %d did)", err, c.booked.Load(), len(c.people))
		}
	}
}

func (c *crowd) bookOne(ctx context.Context, p *person) error {
	r, err := c.insist(ctx, p, "/v1/reservations", p.identity+"-book", map[string]any{
		"slot_id": p.slot, "language": p.language, "reference": p.identity,
		"resident": map[string]string{"identity": p.identity, "name": p.name, "birth_date": "1967-05-05", "phone": p.phone},
	})
	if err != nil {
		return err
	}
	p.id, p.code = r.ID, r.Code
	if p.cancels {
		if r, err = c.insist(ctx, p, "/v1/reservations/"+p.id+"/cancel", p.identity+"-cancel", map[string]any{}); err != nil {
			return err
		}
		if r.Status != "cancelled" {
			return fmt.Errorf("the answer to a cancel says %q", r.Status)
		}
		p.gone = true
	}
	c.note()
	return nil
}

// untroubled says that everybody had their answer at the first try.
func (c *crowd) untroubled() {
	c.in.t.Helper()
	for _, p := range c.people {
		if p.unknown > 0 {
			c.in.t.Errorf("%s had to ask %d times", p.identity, p.invoked)
		}
	}
}

// note counts one who is done.
func (c *crowd) note() {
	n := c.booked.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.waiters[n]; ch != nil {
		close(ch)
	}
}

// until waits until n people are done.
func (c *crowd) until(n int) {
	c.in.t.Helper()
	c.mu.Lock()
	ch := make(chan struct{})
	c.waiters[int64(n)] = ch
	c.mu.Unlock()
	if c.booked.Load() >= int64(n) {
		return
	}
	timer := time.NewTimer(2 * time.Minute)
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
		c.in.t.Fatalf("after two minutes %d people are done, not %d", c.booked.Load(), n)
	}
}

// insist sends a request again and again, with the same key, until there is an answer that decides it.
func (c *crowd) insist(ctx context.Context, p *person, path, key string, body any) (reservation, error) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		p.invoked++
		a, err := c.in.post(ctx, path, key, body)
		var r reservation
		if err == nil {
			err = json.Unmarshal(a.body, &r)
		}
		switch {
		case err == nil && (a.status == http.StatusCreated || a.status == http.StatusOK):
			return r, nil
		case err == nil && a.status < 500 && a.status != http.StatusTooManyRequests && r.Type != "/problems/idempotency-in-progress":
			return r, fmt.Errorf("refused with status %d: %s", a.status, a.body)
		}
		p.unknown++
		select {
		case <-again.C:
		case <-ctx.Done():
			return r, errors.Join(ctx.Err(), err)
		}
	}
}
