package notifier

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// The pacer decides how many requests may be under way, from what the provider's answers say:
//
//	          429                     8 without an answer, or our account refused
//	full ───────────▶ slowed    any ──────────────────────────────────────────────▶ probing
//	  ▲                 │  ▲                                                          │  │ no better: a longer pause
//	  └─one more for────┘  └────────────────an answer: from two on, doubling──────────┘◀─┘
//	    each that passes
//
// A 429 halves the number, at most once for what was under way together, and rests for as long as the provider asks. When
// nothing comes back any more (refused connections, lost answers, 5xx), going on would only make unknown texts, or wait; so
// one text at a time is tried, with growing pauses, until one is answered. What was under way by then, and may hang until its
// deadline, keeps no slot from that one.
type pacer struct {
	max       int // slots of the process
	maxBeside int
	pauses    Policy // for the jitter
	now       func() time.Time

	mu       sync.Mutex
	limit    float64 // how many may hold a slot
	full     float64 // up to here the limit doubles in each round; above, it grows by one
	held     int     // slots in use
	beside   int     // requests that went on without their slot
	round    int     // of slots; each time that one at a time is tried begins another
	old      int     // slots in use of the rounds before
	trust    float64 // how many more may do so
	silent   int     // requests in a row that brought no answer
	throttle int     // 429s in a row
	cutAt    time.Time
	restTill time.Time
	state    paceState
	changed  chan struct{} // something may have become possible
}

// paceState is how the provider is seen from here.
type paceState string

const (
	paceOK        paceState = "ok"
	paceThrottled paceState = "throttled" // it asks for fewer requests
	paceAway      paceState = "away"      // it cannot be reached, or does not answer
	paceRefused   paceState = "refused"   // it refuses our account or settings
)

const (
	// silence is how many requests in a row bring no answer before only one at a time is tried.
	silence = 8
	// firstTrust is how many requests may leave their slots before any was answered, and trustGain how much each answer adds:
	// a provider that lets 1 in 20 hang, and answers the others, slows nothing; one that lets all hang gets no more of them.
	firstTrust, trustGain = 16, 0.05
	// The pauses between probes, and between rounds of 429s that say nothing of how long.
	firstProbe, longestProbe       = 500 * time.Millisecond, 15 * time.Second
	firstThrottle, longestThrottle = 200 * time.Millisecond, 5 * time.Second
	// longestRest bounds what a Retry-After may ask of the whole sender.
	longestRest = time.Minute
)

func newPacer(p Policy, now func() time.Time) *pacer {
	return &pacer{max: p.Slots, maxBeside: p.MaxBeside, pauses: p, now: now, limit: float64(p.Slots), full: float64(p.Slots),
		trust: firstTrust, state: paceOK, changed: make(chan struct{}, 1)}
}

// slot is one request's right to be under way.
type slot struct {
	round  int
	began  time.Time
	beside bool // it goes on without
	over   bool // it has ended
}

// acquire takes at least one slot, waiting for it, and at most n; 0 when ctx ended first. They are of the round that it tells.
func (p *pacer) acquire(ctx context.Context, n int) (got, round int) {
	for {
		p.mu.Lock()
		free := int(p.limit) - p.held
		wait := p.restTill.Sub(p.now())
		if free > 0 && wait <= 0 {
			n = min(n, free)
			p.held += n
			round = p.round
			p.mu.Unlock()
			return n, round
		}
		p.mu.Unlock()
		if wait <= 0 {
			wait = time.Hour
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return 0, 0
		case <-p.changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// release gives back n slots of a round that were not used.
func (p *pacer) release(n, round int) {
	p.mu.Lock()
	p.free(n, round)
	p.mu.Unlock()
	p.signal()
}

func (p *pacer) free(n, round int) {
	if round == p.round {
		p.held -= n
	} else {
		p.old -= n
	}
}

// stepAside lets a request that takes long go on without its slot, if there is trust left.
func (p *pacer) stepAside(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.over || s.beside || s.round != p.round || p.trust < 1 || p.beside >= p.maxBeside || p.state == paceAway || p.state == paceRefused {
		return
	}
	s.beside = true
	p.trust--
	p.beside++
	p.held--
	p.signal()
}

// done ends a request and learns from its outcome.
func (p *pacer) done(s *slot, o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.over = true // the timer that would let it step aside may be running already
	if s.beside {
		p.beside--
	} else {
		p.free(1, s.round)
	}
	switch {
	case o.Throttled:
		p.throttled(s, o)
	case o.Class == Rejected && o.Disposition == Configuration:
		p.probe(paceRefused, p.pauses.jitter(p.pauses.ConfigurationPause))
	case o.Class == Accepted, o.Class == Rejected:
		p.answered()
	case o.Detail != lateDetail:
		p.unanswered(s)
	}
	p.signal()
}

func (p *pacer) answered() {
	p.silent, p.throttle = 0, 0
	p.trust = min(p.trust+trustGain, float64(p.maxBeside))
	if p.state == paceAway || p.state == paceRefused {
		p.limit = 2
		p.restTill = time.Time{}
	}
	p.state = paceOK
	switch {
	case p.limit < p.full:
		p.limit++
	default:
		p.limit += 1 / p.limit
	}
	p.limit = min(p.limit, float64(p.max))
}

func (p *pacer) throttled(s *slot, o Outcome) {
	p.silent = 0
	if p.state != paceRefused {
		p.state = paceThrottled
	}
	if !s.began.After(p.cutAt) { // it was under way with one that has spoken for it
		return
	}
	p.throttle++
	p.cutAt = p.now()
	p.full = max(1, p.limit/2)
	p.limit = p.full
	pause := min(firstThrottle<<min(p.throttle-1, 10), longestThrottle)
	p.rest(min(max(o.RetryAfter, p.pauses.jitter(pause)), longestRest))
}

func (p *pacer) unanswered(s *slot) {
	if s.round != p.round || p.state == paceAway && !s.began.After(p.cutAt) { // it was under way before that was known
		return
	}
	if p.silent++; p.silent >= silence {
		p.probe(paceAway, p.pauses.jitter(min(firstProbe<<min(p.silent-silence, 10), longestProbe)))
	}
}

// probe goes over to one request at a time, after a pause.
func (p *pacer) probe(why paceState, pause time.Duration) {
	if p.state != paceAway && p.state != paceRefused {
		p.full = max(2, p.limit/2)
	}
	p.state, p.limit, p.cutAt = why, 1, p.now()
	if p.old+p.beside+p.held <= p.maxBeside {
		p.old, p.held = p.old+p.held, 0
		p.round++
	}
	p.rest(pause)
}

func (p *pacer) rest(d time.Duration) {
	if till := p.now().Add(d); till.After(p.restTill) {
		p.restTill = till
	}
}

// hold keeps the sender from starting anything for d, for a reason of ours.
func (p *pacer) hold(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest(d)
}

// resting is how long nothing will be started, 0 when something may be.
func (p *pacer) resting() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.restTill.Sub(p.now()))
}

// status is how the provider is seen, and how many requests may be under way.
func (p *pacer) status() (paceState, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, int(p.limit)
}

func (p *pacer) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// jitter is between half of d and one and a half of it, so that what failed together does not come back together.
func (Policy) jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}
