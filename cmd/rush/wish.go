package rush

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// mostFull is how often somebody whose place is taken chooses another before they give up.
const mostFull = 30

// wish is one device on which one person wants a place. It insists, with the same key, until there is an answer that decides
// it, and takes another place, with another key, when the one that was wanted is full.
type wish struct {
	crowd  *crowd
	person person
	entry  *entry
	slot   string
	key    string
	early  bool // before the gate
	again  bool // the second press of the same button
	full   int
}

// answer is what the API says, of a reservation or of a problem.
type answer struct {
	status       int
	retryAfter   time.Duration
	ID           string `json:"id"`
	Code         string `json:"code"`
	Type         string `json:"type"`
	Alternatives []struct {
		ID string `json:"id"`
	} `json:"alternatives"`
}

func (a answer) slug() string { return strings.TrimPrefix(a.Type, "/problems/") }

// ask asks once.
func (w *wish) ask(ctx context.Context) {
	c, e := w.crowd, w.entry
	a, err := c.send(ctx, w.person.N+w.full, http.MethodPost, "/v1/reservations", w.key, w.person.body(w.slot))
	if ctx.Err() != nil {
		return // sent home
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Requests++
	switch {
	case err != nil: // the connection broke, or nothing came
		e.Unanswered++
		c.count.unanswered.Add(1)
		w.later(w.person.Patience)
	case a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests:
		e.Overloaded++
		c.count.overloaded.Add(1)
		w.later(max(a.retryAfter, w.person.Patience))
	case a.status >= 500 || a.slug() == "idempotency-in-progress":
		w.later(w.person.Patience)
	case w.early && a.slug() == "not-open-yet":
		e.Early++
		c.count.early.Add(1)
	case w.early && a.slug() == "not-eligible": // they will be told again
	case a.status < 300:
		if time.Now().Before(c.Gate) {
			e.Wrong = append(e.Wrong, "booked before the gate")
		}
		w.has(a)
	case a.slug() == "slot-full" && w.full < mostFull && len(a.Alternatives) > 0 && !w.again:
		e.Full++
		w.full++
		w.slot, w.key = a.Alternatives[w.person.N%len(a.Alternatives)].ID, fmt.Sprintf("%s-then-%d", w.key, w.full)
		w.later(w.person.Patience)
	case w.again, a.slug() == "already-booked" && w.person.Devices > 1: // the other press, or the other device, will tell
	case e.Outcome == "":
		e.Outcome, e.Answered = a.slug(), time.Now()
		if e.Outcome == "" {
			e.Outcome = fmt.Sprintf("status-%d", a.status)
		}
		c.count.refused.Add(1)
	}
}

// later asks again after a while.
func (w *wish) later(d time.Duration) { w.then(time.Now().Add(d), w.ask) }

// then plans something for this person.
func (w *wish) then(due time.Time, do func(context.Context)) {
	w.crowd.queue.add(due, w.entry.Click, do) // Click is never written again
}

// has notes that there is a reservation. The entry is locked.
func (w *wish) has(a answer) {
	c, e := w.crowd, w.entry
	if e.Code != "" {
		if e.Code != a.Code {
			e.Wrong = append(e.Wrong, "two reservations for one person")
		}
		return
	}
	if a.Code == "" || a.ID == "" {
		e.Wrong = append(e.Wrong, "a reservation without a code")
		return
	}
	if e.Outcome != "" { // one device was refused before another got through
		c.count.refused.Add(-1)
	}
	e.Outcome, e.Answered, e.ID, e.Code = booked, time.Now(), a.ID, a.Code
	c.count.booked.Add(1)
	if w.person.Asks {
		w.then(e.Answered.Add(w.person.Patience/2), w.look)
	}
	if w.person.Cancels {
		w.then(e.Answered.Add(2*w.person.Patience), w.cancel)
	}
}

// look asks whether it is true.
func (w *wish) look(ctx context.Context) {
	began := time.Now()
	a, err := w.crowd.send(ctx, w.person.N, http.MethodGet, "/v1/reservations/"+w.entry.ID, "", nil)
	w.entry.mu.Lock()
	defer w.entry.mu.Unlock()
	w.entry.Lookups++
	switch {
	case ctx.Err() != nil:
	case err != nil || a.status >= 500:
		w.then(time.Now().Add(w.person.Patience), w.look)
	case a.status != http.StatusOK || a.Code != w.entry.Code:
		w.entry.Wrong = append(w.entry.Wrong, fmt.Sprintf("asked whether they are booked, and told no (status %d)", a.status))
	case w.entry.Looked == 0:
		w.entry.LookedAt = time.Now()
		w.entry.Looked = w.entry.LookedAt.Sub(began).Seconds()
	}
}

// cancel gives the place back.
func (w *wish) cancel(ctx context.Context) {
	a, err := w.crowd.send(ctx, w.person.N, http.MethodPost, "/v1/reservations/"+w.entry.ID+"/cancel", w.person.identity()+"-cancel", nil)
	w.entry.mu.Lock()
	defer w.entry.mu.Unlock()
	w.entry.Cancels++
	switch {
	case ctx.Err() != nil:
	case err != nil || a.status >= 500 || a.status == http.StatusTooManyRequests || a.slug() == "idempotency-in-progress":
		w.then(time.Now().Add(w.person.Patience), w.cancel)
	case a.status != http.StatusOK:
		w.entry.Wrong = append(w.entry.Wrong, fmt.Sprintf("cannot cancel (status %d)", a.status))
	default:
		w.entry.Cancelled = true
	}
}

// send makes one request; which of the service's addresses gets it turns with n, and with each answer that does not come.
func (c *crowd) send(ctx context.Context, n int, method, path, key string, body any) (a answer, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return a, err
		}
	}
	turn := n + int(c.count.unanswered.Load())
	req, err := http.NewRequestWithContext(ctx, method, c.URLs[turn%len(c.URLs)]+path, bytes.NewReader(b))
	if err != nil {
		return a, err
	}
	req.GetBody = nil // else the client itself asks again where a connection broke, and nobody counts it
	req.Header.Set("Authorization", "Bearer "+c.Key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	c.count.requests.Add(1)
	res, err := c.client.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a.status = res.StatusCode
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		a.retryAfter = time.Duration(s) * time.Second
	}
	all, err := io.ReadAll(res.Body)
	if err == nil && len(all) > 0 {
		err = json.Unmarshal(all, &a)
	}
	if err != nil && a.status >= 500 {
		err = nil // the status says enough
	}
	return a, err
}
