package rush

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// orders are what a crowd is told. It gets them as one JSON object on its standard input, whose end sends everybody home.
type orders struct {
	URLs    []string // of the service, where it may be asked
	Key     string   // for its API
	Slots   []string
	Seed    uint64
	People  int
	Gate    time.Time
	Over    time.Duration
	Workers int    // requests at once
	History string // file
}

// tally is how far a crowd is, a line of its standard output.
type tally struct {
	Clicked    int64 // people who have clicked since the gate opened
	Booked     int64
	Refused    int64 // people, for good
	Requests   int64
	Early      int64 // requests before the gate, refused
	Overloaded int64 // requests that were told to come again
	Unanswered int64 // requests whose answer never came
	Done       bool
}

// entry is one person's history: what they were told, when. It is the crowd's account, which is held against the network's log
// and the database.
type entry struct {
	N          int       `json:"n"`
	Click      time.Time `json:"click"`    // when they clicked, or, when nobody had a hand free for it, wanted to
	Answered   time.Time `json:"answered"` // zero: never
	Outcome    string    `json:"outcome"`  // booked, the slug of a refusal, or nothing
	ID         string    `json:"id,omitempty"`
	Code       string    `json:"code,omitempty"`
	Requests   int       `json:"requests"`
	Early      int       `json:"early,omitempty"`
	Overloaded int       `json:"overloaded,omitempty"`
	Unanswered int       `json:"unanswered,omitempty"`
	Full       int       `json:"full,omitempty"`     // times that their place was taken
	Looked     float64   `json:"looked,omitempty"`   // how long they waited for the answer to whether they are booked, in seconds
	LookedAt   time.Time `json:"looked_at,omitzero"` // when they had it
	Lookups    int       `json:"lookups,omitempty"`  // requests for it
	Cancels    int       `json:"cancels,omitempty"`  // requests to give the place back
	Booker     bool      `json:"booker,omitempty"`
	Cancelled  bool      `json:"cancelled,omitempty"`
	Wrong      []string  `json:"wrong,omitempty"` // answers that contradict each other

	mu sync.Mutex
}

// booked is the outcome of who has a place.
const booked = "booked"

// crowd is the people at work.
type crowd struct {
	orders
	client  *http.Client
	entries []*entry
	queue   agenda
	count   struct{ clicked, booked, refused, requests, early, overloaded, unanswered atomic.Int64 }
}

// tellEvery is how often a crowd says how far it is.
const tellEvery = 200 * time.Millisecond

// Crowd is the crowd's process: it reads its orders from in, plays, tells out how far it is, and leaves its history.
func Crowd(ctx context.Context, in io.Reader, out io.Writer) error {
	return come(ctx, in, out, new(net.Dialer).DialContext)
}

// come is Crowd for people who get to the service by dial.
func come(ctx context.Context, in io.Reader, out io.Writer, dial func(context.Context, string, string) (net.Conn, error)) error {
	input := bufio.NewReader(in)
	c := &crowd{queue: newAgenda()}
	line, err := input.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.orders)
	}
	if err != nil {
		return fmt.Errorf("read the crowd's orders: %w", err)
	}
	if len(c.URLs) == 0 || len(c.Slots) == 0 || c.Workers < 1 {
		return fmt.Errorf("the crowd's orders name no service, no places or no hands")
	}
	ctx, home := context.WithCancel(ctx)
	defer home()
	go func() { // whoever gave the orders is gone, or says that it is enough
		_, _ = io.Copy(io.Discard, input)
		home()
	}()
	c.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: c.Workers, MaxIdleConns: c.Workers}}
	defer c.client.CloseIdleConnections()
	c.entries = make([]*entry, c.People)
	for n := range c.entries {
		c.gather(invent(c.Seed, n, c.Over, len(c.Slots)))
	}
	lines := json.NewEncoder(out)
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.queue.work(ctx, c.Workers)
	}()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-over:
			running = false
		case <-tick.C:
			_ = lines.Encode(c.tally())
		}
	}
	if err := c.leave(); err != nil {
		return err
	}
	last := c.tally()
	last.Done = true
	return lines.Encode(last)
}

func (c *crowd) tally() tally {
	n := &c.count
	return tally{Clicked: n.clicked.Load(), Booked: n.booked.Load(), Refused: n.refused.Load(), Requests: n.requests.Load(),
		Early: n.early.Load(), Overloaded: n.overloaded.Load(), Unanswered: n.unanswered.Load()}
}

// gather puts one person's plans on the agenda.
func (c *crowd) gather(p person) {
	e := &entry{N: p.N, Click: c.Gate.Add(p.Click), Booker: p.Booker}
	c.entries[p.N] = e
	slot := c.Slots[p.Slot]
	if p.Knock != 0 {
		knock := &wish{crowd: c, person: p, entry: e, slot: slot, key: p.identity() + "-early", early: true}
		c.queue.add(c.Gate.Add(p.Knock), e.Click, knock.ask)
	}
	for device := range p.Devices {
		w := &wish{crowd: c, person: p, entry: e, slot: slot, key: fmt.Sprintf("%s-%d", p.identity(), device)}
		at := e.Click.Add(time.Duration(device) * 400 * time.Millisecond)
		c.queue.add(at, e.Click, func(ctx context.Context) {
			if device == 0 {
				c.count.clicked.Add(1)
			}
			w.ask(ctx)
		})
		if p.Twice && device == 0 {
			again := *w
			again.again = true
			c.queue.add(at.Add(50*time.Millisecond), e.Click, again.ask)
		}
	}
}

// leave writes the history.
func (c *crowd) leave() error {
	file, err := os.Create(c.History)
	if err != nil {
		return fmt.Errorf("write the crowd's history: %w", err)
	}
	w := bufio.NewWriter(file)
	lines := json.NewEncoder(w)
	for _, e := range c.entries {
		e.mu.Lock()
		err = lines.Encode(e)
		e.mu.Unlock()
		if err != nil {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write the crowd's history: %w", err)
	}
	return nil
}
