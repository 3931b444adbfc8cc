package sandbox

import (
	"container/heap"
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
	ready    []*message // have callbacks to send
	more     *sync.Cond // of ready
	nudge    chan struct{}
	closed   bool
	wg       sync.WaitGroup
	failed   int // callbacks given up
	done     int // callbacks that the receiver took
}

// callQueue are the callbacks of one text that wait; guarded by carrier.mu.
type callQueue struct {
	waiting []call
	busy    bool   // a worker has it, or it is in ready
	held    []call // reordered: kept until the text is final
}

// call is one callback to be sent.
type call struct {
	as    Message // the text as the callback tells of it
	tries int
}

// appointment is something that is due: the next step of a text, or a callback.
type appointment struct {
	at   time.Time
	m    *message
	plan []step // when it is a step: the first of these
	call *call
}

type step struct {
	at     time.Time
	status Status
	code   int
}

type calendar []appointment

func (c calendar) Len() int           { return len(c) }
func (c calendar) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c calendar) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }

// Push is heap's.
func (c *calendar) Push(x any) { *c = append(*c, x.(appointment)) }

// Pop is heap's.
func (c *calendar) Pop() any {
	last := (*c)[len(*c)-1]
	(*c)[len(*c)-1] = appointment{}
	*c = (*c)[:len(*c)-1]
	return last
}

func newCarrier(s *Server) *carrier {
	c := &carrier{s: s, nudge: make(chan struct{}, 1), post: newPoster(s)}
	c.more = sync.NewCond(&c.mu)
	c.wg.Add(1 + s.opts.CallbackWorkers)
	go c.keep()
	for range s.opts.CallbackWorkers {
		go c.work()
	}
	return c
}

// plan is what will become of a text, and when: drawn from the seed and its place in the log.
func (c *carrier) plan(m *message) []step {
	dice := rand.New(rand.NewPCG(c.s.opts.Seed, uint64(m.Seq)))
	between := func(r [2]time.Duration) time.Duration {
		if r[1] <= r[0] {
			return r[1]
		}
		return r[0] + time.Duration(dice.Int64N(int64(r[1]-r[0])))
	}
	begin := c.s.opts.Now()
	sent := between(c.s.opts.SentAfter)
	end := max(between(c.s.opts.DeliveredAfter), sent)
	status, code, err := parseFinal(m.Final)
	if err != nil {
		status, code = Delivered, 0 // the rule was checked; only a log edited by hand comes here
	}
	plan := []step{{begin.Add(min(5*time.Millisecond, sent/2)), Queued, 0}}
	if status != Failed {
		plan = append(plan, step{begin.Add(sent), Sent, 0})
	}
	if status != Sent {
		plan = append(plan, step{begin.Add(end), status, code})
	}
	return plan
}

// take sends a text on its way.
func (c *carrier) take(m *message) {
	plan := c.plan(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schedule(appointment{at: plan[0].at, m: m, plan: plan})
}

// hurry takes a text all the way at once, and sends each of its callbacks once before it returns.
func (c *carrier) hurry(m *message) {
	for _, st := range c.plan(m) {
		now := c.advance(m, st)
		if m.Callback == "" {
			continue
		}
		first := call{as: now}
		if !c.post.send(c.s.ctx, now) {
			c.again(m, first)
			continue
		}
		c.count(true)
	}
}

// schedule notes an appointment; c.mu is held.
func (c *carrier) schedule(a appointment) {
	if c.closed {
		return
	}
	heap.Push(&c.calendar, a)
	if c.calendar[0].at.Equal(a.at) {
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
		due, pause := c.due()
		for _, a := range due {
			c.meet(a)
		}
		if len(due) > 0 {
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

// due takes the appointments whose time has come, or tells how long until the next.
func (c *carrier) due() (due []appointment, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.s.opts.Now()
	for len(c.calendar) > 0 && !c.calendar[0].at.After(now) {
		due = append(due, heap.Pop(&c.calendar).(appointment))
	}
	if len(c.calendar) > 0 {
		return due, c.calendar[0].at.Sub(now)
	}
	return due, time.Hour
}

func (c *carrier) meet(a appointment) {
	if a.call != nil {
		c.mu.Lock()
		c.enqueue(a.m, *a.call)
		c.mu.Unlock()
		return
	}
	now := c.advance(a.m, a.plan[0])
	rest := a.plan[1:]
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(rest) > 0 {
		c.schedule(appointment{at: rest[0].at, m: a.m, plan: rest})
	}
	if a.m.Callback != "" {
		c.tell(a.m, call{as: now}, len(rest) == 0)
	}
}

// advance moves a text, and remembers on disk how it ended.
func (c *carrier) advance(m *message, st step) Message {
	now := c.s.store.set(m, st.status, st.code)
	if st.status.final() {
		_, err := c.s.states.add(nil, func() any {
			return stateLine{SID: m.SID, Status: st.status, Code: st.code, Sent: now.SentAt, At: now.UpdatedAt}
		})
		if err != nil {
			c.s.log.Error("sandbox: the end of a text was not written; its callbacks will come again after a restart", "err", err)
		}
	}
	return now
}

// tell has a callback sent in the way that the text's rule wants; c.mu is held.
func (c *carrier) tell(m *message, x call, last bool) {
	switch m.Callbacks {
	case CallbacksNone:
	case CallbacksTwice:
		c.enqueue(m, x)
		c.enqueue(m, x)
	case CallbacksLate:
		late := time.Duration(m.LateBy)
		if late == 0 {
			late = 10 * time.Second
		}
		c.schedule(appointment{at: c.s.opts.Now().Add(late), m: m, call: &x})
	case CallbacksReordered:
		m.calls.held = append(m.calls.held, x)
		if last {
			for i := len(m.calls.held) - 1; i >= 0; i-- {
				c.enqueue(m, m.calls.held[i])
			}
			m.calls.held = nil
		}
	default:
		c.enqueue(m, x)
	}
}

// enqueue gives a callback to the workers; c.mu is held.
func (c *carrier) enqueue(m *message, x call) {
	m.calls.waiting = append(m.calls.waiting, x)
	if !m.calls.busy {
		m.calls.busy = true
		c.ready = append(c.ready, m)
		c.more.Signal()
	}
}

// work sends callbacks: all that one text has waiting, then the next text's.
func (c *carrier) work() {
	defer c.wg.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.ready) == 0 && !c.closed {
			c.more.Wait()
		}
		if c.closed {
			return
		}
		m := c.ready[0]
		c.ready = c.ready[1:]
		for len(m.calls.waiting) > 0 && !c.closed {
			x := m.calls.waiting[0]
			m.calls.waiting = m.calls.waiting[1:]
			c.mu.Unlock()
			if c.post.send(c.s.ctx, x.as) {
				c.count(true)
			} else {
				c.again(m, x)
			}
			c.mu.Lock()
		}
		m.calls = callQueue{held: m.calls.held}
	}
}

// again plans another try of a callback that was not taken, or gives it up.
func (c *carrier) again(m *message, x call) {
	if x.tries >= len(c.s.opts.CallbackRetries) {
		c.count(false)
		c.s.log.Warn("sandbox: a callback was given up", "sid", m.SID, "status", string(x.as.Status), "tries", x.tries+1)
		return
	}
	pause := c.s.opts.CallbackRetries[x.tries]
	x.tries++
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schedule(appointment{at: c.s.opts.Now().Add(pause), m: m, call: &x})
}

func (c *carrier) count(taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if taken {
		c.done++
	} else {
		c.failed++
	}
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
	c.wg.Wait()
	c.post.close()
}
