package sandbox

import (
	"math/rand/v2"
	"sync"
	"time"
)

// carrier moves texts from state to state and has the callbacks sent. One goroutine keeps the calendar; a bounded
// number of others send. All callbacks of one text go out one after the other, except those that are tried again.
type carrier struct {
	s    *Server
	post *poster

	mu       sync.Mutex
	calendar calendar
	ready    []*journey // have callbacks to send
	more     *sync.Cond // of ready
	nudge    chan struct{}
	closed   bool
	wg       sync.WaitGroup
	failed   int // callbacks given up
	done     int // callbacks that the receiver took
}

// journey is a text that is on its way, and the callbacks about it. The queue is guarded by carrier.mu.
type journey struct {
	m      *message
	target *target // nil: nobody wants callbacks
	plan   [3]step
	steps  int // of plan
	next   int // of steps

	waiting []call
	busy    bool   // a worker has it, or it is in ready
	held    []call // reordered: kept until the text is final
}

// call is one callback to be sent: the text's state as it tells of it.
type call struct {
	status Status
	code   int
	at     time.Time
	tries  int
	begun  time.Time // of the first try
}

type step struct {
	at     time.Time
	status Status
	code   int
}

// move is a text and the state that it comes to.
type move struct {
	m      *message
	status Status
	code   int
}

func newCarrier(s *Server) *carrier {
	c := &carrier{s: s, calendar: newCalendar(), nudge: make(chan struct{}, 1), post: newPoster(s.ctx, s.opts.CallbackTimeout)}
	c.more = sync.NewCond(&c.mu)
	c.wg.Add(1 + s.opts.CallbackWorkers)
	go c.keep()
	for range s.opts.CallbackWorkers {
		go c.work()
	}
	return c
}

// journeyOf is what will become of a text, and when: drawn from the seed and its place in the log.
func (c *carrier) journeyOf(m *message, t *target) *journey {
	j := &journey{m: m, target: t}
	dice := rand.NewPCG(c.s.opts.Seed, uint64(m.Seq))
	between := func(r [2]time.Duration) time.Duration {
		if r[1] <= r[0] {
			return r[1]
		}
		return r[0] + time.Duration(dice.Uint64()%uint64(r[1]-r[0]))
	}
	begin := c.s.opts.Now()
	sent := between(c.s.opts.SentAfter)
	end := max(between(c.s.opts.DeliveredAfter), sent)
	if m.FinalAfter > 0 {
		end = time.Duration(m.FinalAfter)
		sent = min(sent, end)
	}
	status, code, err := parseFinal(m.Final)
	if err != nil {
		status, code = Delivered, 0 // the rule was checked; only a log edited by hand comes here
	}
	j.add(step{begin.Add(min(5*time.Millisecond, sent/2)), Queued, 0})
	if status != Failed {
		j.add(step{begin.Add(sent), Sent, 0})
	}
	if status != Sent {
		j.add(step{begin.Add(end), status, code})
	}
	return j
}

func (j *journey) add(s step) {
	j.plan[j.steps] = s
	j.steps++
}

// take sends a text on its way.
func (c *carrier) take(m *message, t *target) {
	j := c.journeyOf(m, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schedule(j.plan[0].at, appointment{j: j})
}

// hurry takes a text all the way at once, and sends each of its callbacks once before it returns.
func (c *carrier) hurry(m *message, t *target) {
	j := c.journeyOf(m, t)
	w := newWriter(c.s.opts.AuthToken)
	for _, st := range j.plan[:j.steps] {
		moves := []move{{m, st.status, st.code}}
		at := c.advance(moves)
		if t != nil {
			c.send(j, call{status: st.status, code: st.code, at: at}, w)
		}
	}
}

// schedule notes an appointment; c.mu is held.
func (c *carrier) schedule(at time.Time, a appointment) {
	if c.closed {
		return
	}
	if c.calendar.add(at, a) {
		select {
		case c.nudge <- struct{}{}:
		default:
		}
	}
}

// keep does what is due when it is due.
func (c *carrier) keep() {
	defer c.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		due, pause := c.calendar.due(c.s.opts.Now())
		c.mu.Unlock()
		if len(due) > 0 {
			c.meet(due)
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-c.nudge:
		case <-c.s.ctx.Done():
			return
		}
	}
}

// meet does what is due, the states of all texts first.
func (c *carrier) meet(due []appointment) {
	moves := make([]move, 0, len(due))
	for _, a := range due {
		if a.call == nil {
			st := a.j.plan[a.j.next]
			moves = append(moves, move{a.j.m, st.status, st.code})
		}
	}
	now := c.advance(moves)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range due {
		j := a.j
		if a.call != nil {
			c.enqueue(j, *a.call)
			continue
		}
		st := j.plan[j.next]
		j.next++
		last := j.next == j.steps
		if !last {
			c.schedule(j.plan[j.next].at, appointment{j: j})
		}
		if j.target != nil {
			c.tell(j, call{status: st.status, code: st.code, at: now}, last)
		}
	}
}

// advance moves texts, and remembers on disk how they ended.
func (c *carrier) advance(moves []move) time.Time {
	if len(moves) == 0 {
		return time.Time{}
	}
	now := c.s.store.advance(moves)
	for _, mv := range moves {
		if !mv.status.final() {
			continue
		}
		_, err := c.s.states.add(nil, func(dst []byte) []byte {
			// Nobody else writes a text's state, so it can be read here without the store's lock.
			return appendState(dst, &stateLine{SID: mv.m.SID, Status: mv.status, Code: mv.code, Sent: mv.m.sentAt, At: now})
		})
		if err != nil {
			c.s.log.Error("sandbox: the end of a text was not written; its callbacks will come again after a restart", "err", err)
		}
	}
	return now
}

// tell has a callback sent in the way that the text's rule wants; c.mu is held.
func (c *carrier) tell(j *journey, x call, last bool) {
	switch j.m.Callbacks {
	case CallbacksNone:
	case CallbacksTwice:
		c.enqueue(j, x)
		c.enqueue(j, x)
	case CallbacksLate:
		late := time.Duration(j.m.LateBy)
		if late == 0 {
			late = 10 * time.Second
		}
		c.schedule(c.s.opts.Now().Add(late), appointment{j: j, call: &x})
	case CallbacksReordered:
		j.held = append(j.held, x)
		if last {
			for i := len(j.held) - 1; i >= 0; i-- {
				c.enqueue(j, j.held[i])
			}
			j.held = nil
		}
	default:
		c.enqueue(j, x)
	}
}

// enqueue gives a callback to the workers; c.mu is held.
func (c *carrier) enqueue(j *journey, x call) {
	j.waiting = append(j.waiting, x)
	if !j.busy {
		j.busy = true
		c.ready = append(c.ready, j)
		c.more.Signal()
	}
}

// work sends callbacks: all that one text has waiting, then the next text's.
func (c *carrier) work() {
	defer c.wg.Done()
	w := newWriter(c.s.opts.AuthToken)
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.ready) == 0 && !c.closed {
			c.more.Wait()
		}
		if c.closed {
			return
		}
		j := c.ready[0]
		c.ready[0] = nil
		c.ready = c.ready[1:]
		for len(j.waiting) > 0 && !c.closed {
			x := j.waiting[0]
			j.waiting = j.waiting[1:]
			c.mu.Unlock()
			c.send(j, x, w)
			c.mu.Lock()
		}
		j.waiting, j.busy = nil, false
	}
}

// send makes one try of a callback, and plans the next if it is worth one.
func (c *carrier) send(j *journey, x call, w *writer) {
	if x.tries == 0 {
		x.begun = c.s.opts.Now()
	}
	v := c.post.post(j.target, w.request(j.target, j.m, x))
	again := v != taken && c.again(j, &x, v)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v == taken:
		c.done++
	case !again:
		c.failed++
	default:
		c.schedule(c.s.opts.Now().Add(c.pause(x.tries)), appointment{j: j, call: &x})
	}
}

// again says whether a callback that ended so is tried once more. As with Twilio, all tries together have the time of one.
func (c *carrier) again(j *journey, x *call, v verdict) bool {
	x.tries++
	o := j.target.retry
	if o.repeats(v) && x.tries <= o.retries && len(c.s.opts.CallbackRetries) > 0 &&
		c.s.opts.Now().Add(c.pause(x.tries)).Sub(x.begun) < c.s.opts.CallbackTimeout {
		return true
	}
	c.s.log.Warn("sandbox: a callback was given up", "sid", j.m.SID, "status", string(x.status), "tries", x.tries)
	return false
}

// pause is the time before a further try, of which there were n.
func (c *carrier) pause(n int) time.Duration {
	pauses := c.s.opts.CallbackRetries
	return pauses[min(n, len(pauses))-1]
}

func (c *carrier) counts() (done, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, c.failed
}

// close stops at once; what was not sent comes after the next start.
func (c *carrier) close() {
	c.mu.Lock()
	c.closed = true
	c.more.Broadcast()
	c.mu.Unlock()
	c.post.close()
	c.wg.Wait()
}
