package main

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
	"time"
)

// deed is one thing that a person asked for, until there was an answer that decided it.
type deed struct {
	What     string    `json:"what"` // book, move, correct, cancel, resend
	Key      string    `json:"key"`
	At       time.Time `json:"at"`
	Done     time.Time `json:"done"`
	Asked    int       `json:"asked"`   // how often it was asked
	Unknown  int       `json:"unknown"` // of them, those whose answer never came or was no answer
	Status   int       `json:"status"`  // of the answer that decided, 0 while there is none
	Slot     string    `json:"slot,omitempty"`
	Phone    string    `json:"phone,omitempty"`
	Accepted bool      `json:"accepted"`
}

// person books one place, and may then think again. What was answered is the first of the three accounts that the judge joins.
type person struct {
	Identity string  `json:"identity"`
	Name     string  `json:"name"`
	Language string  `json:"language"`
	Phone    string  `json:"phone"`            // as it is now
	Booker   string  `json:"booker,omitempty"` // the number of who booked for them
	Slot     string  `json:"slot"`
	ID       string  `json:"id"`
	Code     string  `json:"code"`
	Gone     bool    `json:"gone"`
	Version  int     `json:"version"` // that the answers make it
	Resent   int     `json:"resent"`
	Deeds    []*deed `json:"deeds"`
	Err      string  `json:"err,omitempty"`

	numbers []string // all that the resident ever had
	plan    []string
	slots   []string // where to, for each move
	phones  []string // what to, for each correction
	twice   bool     // clicks twice
}

// crowd are people who come at a steady pace until they are told that it is enough.
type crowd struct {
	st      *stand
	client  *http.Client
	dice    *rand.Rand // of the crowd alone, so that who comes does not depend on what is done to the installation
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	people  []*person
	waiting atomic.Int64 // people who have no answer yet
}

// pace is the time between one who comes and the next; crowdLimit is how many may be without an answer before nobody else comes.
const (
	pace       = 28 * time.Millisecond
	crowdLimit = 150
)

func (st *stand) gather(seed uint64) *crowd {
	return &crowd{st: st, dice: rand.New(rand.NewPCG(seed, 7)), stop: make(chan struct{}),
		client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 20 * time.Second}}}
}

// come lets people come until stop is closed; everybody insists until ctx ends.
func (c *crowd) come(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.waiting.Load() >= crowdLimit {
			continue
		}
		c.mu.Lock()
		p := c.invent()
		c.people = append(c.people, p)
		c.mu.Unlock()
		c.waiting.Add(1)
		c.done.Go(func() {
			defer c.waiting.Add(-1)
			if err := c.live(ctx, p); err != nil {
				p.Err = err.Error()
			}
		})
	}
}

// enough ends the coming and waits until everybody has their answers.
func (c *crowd) enough() {
	close(c.stop)
	c.done.Wait()
	c.client.CloseIdleConnections()
}

var familyNames = []string{"김", "이", "박", "최", "정", "강", "조", "윤"}

func (c *crowd) number() string {
	return fmt.Sprintf("+8210%04d%04d", 2000+c.dice.IntN(3900), c.dice.IntN(10000))
}

// invent makes the next person. The caller holds the lock.
func (c *crowd) invent() *person {
	n := len(c.people)
	p := &person{Identity: fmt.Sprintf("chaos-%d", n), Name: familyNames[c.dice.IntN(len(familyNames))] + "길동",
		Language: []string{"ko", "en"}[c.dice.IntN(2)], Phone: c.number(), Slot: c.st.slots[n%len(c.st.slots)].id, twice: c.dice.IntN(20) == 0}
	if c.dice.IntN(8) == 0 {
		p.Booker = c.number()
	}
	used := n % len(c.st.slots)
	for _, likely := range []struct {
		what   string
		of     int
		adding func()
	}{
		{"move", 8, func() {
			used = (used + 7) % len(c.st.slots) // each time another hour, so that no text says what one said before
			p.slots = append(p.slots, c.st.slots[used].id)
		}},
		{"correct", 12, func() { p.phones = append(p.phones, c.number()) }},
		{"resend", 15, func() {}},
		{"cancel", 8, func() {}},
	} {
		if c.dice.IntN(likely.of) == 0 {
			likely.adding()
			p.plan = append(p.plan, likely.what)
		}
	}
	return p
}

// live books, and does what else the person has in mind.
func (c *crowd) live(ctx context.Context, p *person) error {
	p.numbers = []string{p.Phone}
	body := map[string]any{"slot_id": p.Slot, "language": p.Language, "reference": p.Identity,
		"resident": map[string]string{"identity": p.Identity, "name": p.Name, "birth_date": "1967-05-05", "phone": p.Phone}}
	if p.Booker != "" {
		body["booked_by"] = map[string]string{"name": "박보호", "phone": p.Booker}
	}
	var twin sync.WaitGroup
	if p.twice {
		twin.Go(func() { _, _ = c.insist(ctx, &deed{}, "/v1/reservations", p.Identity+"-book", body) })
	}
	d := p.begin("book")
	d.Slot = p.Slot
	r, err := c.insist(ctx, d, "/v1/reservations", d.Key, body)
	twin.Wait()
	if err != nil || !d.Accepted {
		return errors.Join(fmt.Errorf("book: refused with status %d: %s", d.Status, r.Type), err)
	}
	p.ID, p.Code, p.Version = r.ID, r.Code, 1
	for _, what := range p.plan {
		if what == "resend" && !c.coolDown(ctx) {
			continue
		}
		d := p.begin(what)
		path, body := "/v1/reservations/"+p.ID+"/"+what, map[string]any{}
		switch what {
		case "move":
			path, d.Slot, p.slots = "/v1/reservations/"+p.ID+"/reschedule", p.slots[0], p.slots[1:]
			body["slot_id"] = d.Slot
		case "correct":
			path, d.Phone, p.phones = "/v1/reservations/"+p.ID+"/contact", p.phones[0], p.phones[1:]
			body["phone"] = d.Phone
		case "resend":
			body["reason"] = "they say that none came"
		}
		r, err := c.insist(ctx, d, path, d.Key, body)
		switch {
		case err != nil:
			return err
		case what == "resend": // may be refused for a while, or because nothing is known of the first
			if d.Accepted {
				p.Resent++
			}
		case !d.Accepted:
			return fmt.Errorf("%s: refused with status %d: %s", what, d.Status, r.Type)
		case what == "move":
			p.Slot, p.Version = d.Slot, p.Version+1
		case what == "correct":
			p.Phone, p.numbers, p.Version = d.Phone, append(p.numbers, d.Phone), p.Version+1
		case what == "cancel":
			p.Gone, p.Version = true, p.Version+1
		}
	}
	return nil
}

// coolDown waits until a text may be asked for again; false when nobody waits that long any more.
func (c *crowd) coolDown(ctx context.Context) bool {
	c.waiting.Add(-1)
	defer c.waiting.Add(1)
	t := time.NewTimer(62 * time.Second) // a minute after the last change
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.stop:
	case <-ctx.Done():
	}
	return false
}

func (p *person) begin(what string) *deed {
	d := &deed{What: what, Key: fmt.Sprintf("%s-%s", p.Identity, what), At: time.Now()}
	p.Deeds = append(p.Deeds, d)
	return d
}

// reservation is the API's, or a problem.
type reservation struct {
	ID     string `json:"id"`
	Code   string `json:"code"`
	Status string `json:"status"`
	Type   string `json:"type"`
}

// insist asks again and again, with the same key, until there is an answer that decides it.
func (c *crowd) insist(ctx context.Context, d *deed, path, key string, body any) (r reservation, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return r, err
	}
	again := time.NewTicker(150 * time.Millisecond)
	defer again.Stop()
	for {
		d.Asked++
		status, err := c.ask(ctx, path, key, b, &r)
		switch {
		case err != nil, status >= 500, r.Type == "/problems/idempotency-in-progress", status == http.StatusTooManyRequests && d.What != "resend":
			d.Unknown++
		default:
			d.Status, d.Accepted, d.Done = status, status < 300, time.Now()
			return r, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return r, fmt.Errorf("%s: no answer to the last (status %d): %w", d.What, status, errors.Join(ctx.Err(), err))
		}
	}
}

func (c *crowd) ask(ctx context.Context, path, key string, body []byte, into *reservation) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.st.client.Addr()+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+c.st.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err
	}
	*into = reservation{}
	if err := json.Unmarshal(b, into); err != nil && res.StatusCode < 500 {
		return res.StatusCode, err
	}
	return res.StatusCode, nil
}
