package sqldb

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrOverloaded is what Batcher.Do returns when its queue is full; nothing was done.
var ErrOverloaded = errors.New("too much work is waiting")

// ErrStopped is what Batcher.Do returns once the batcher stops; nothing was done.
var ErrStopped = errors.New("stopping")

// gather is how long a run waits at most for those who come back.
const gather = time.Millisecond

// Batcher groups calls: those that arrive while one run is under way go together into the next. A lone call runs at once,
// so batching costs no latency, and a commit is shared by as many calls as came during the last one.
//
// Callers that were answered together mostly come back together, one by one within a millisecond. A run that began with the
// first of them would leave the others to the next, and most commits would be for few. So a run waits, but no longer than
// gather, until half as many are there as the last one had.
type Batcher[In, Out any] struct {
	max   int
	run   func(context.Context, []In) ([]Out, error)
	queue chan call[In, Out]
	mu    sync.RWMutex // held for reading while a call enters the queue, so that Stop can close it
	done  chan struct{}
	over  bool
}

type call[In, Out any] struct {
	in  In
	out chan result[Out]
}

type result[Out any] struct {
	out Out
	err error
}

// NewBatcher starts a batcher whose run handles at most max calls at once and answers each, in order; an error of run
// answers all of them. At most queue calls wait. run gets a context that is never cancelled: work that was taken is finished.
func NewBatcher[In, Out any](maxBatch, queue int, run func(context.Context, []In) ([]Out, error)) *Batcher[In, Out] {
	b := &Batcher[In, Out]{max: maxBatch, run: run, queue: make(chan call[In, Out], queue), done: make(chan struct{})}
	go b.loop()
	return b
}

// Do hands in one call and waits for its answer. When ctx ends first, the call may still be carried out.
func (b *Batcher[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	var zero Out
	c := call[In, Out]{in: in, out: make(chan result[Out], 1)}
	b.mu.RLock()
	if b.over {
		b.mu.RUnlock()
		return zero, ErrStopped
	}
	select {
	case b.queue <- c:
		b.mu.RUnlock()
	default:
		b.mu.RUnlock()
		return zero, ErrOverloaded
	}
	select {
	case r := <-c.out:
		return r.out, r.err
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

// Waiting is how many calls are queued.
func (b *Batcher[In, Out]) Waiting() int { return len(b.queue) }

// Stop refuses new calls, finishes those that were taken, and returns when the last is answered. It may be called twice.
func (b *Batcher[In, Out]) Stop() {
	b.mu.Lock()
	if !b.over {
		b.over = true
		close(b.queue)
	}
	b.mu.Unlock()
	<-b.done
}

func (b *Batcher[In, Out]) loop() {
	defer close(b.done)
	last := 0
	for first := range b.queue {
		calls := b.fill(first, last/2)
		last = len(calls)
		ins := make([]In, len(calls))
		for i, c := range calls {
			ins[i] = c.in
		}
		outs, err := b.guarded(ins)
		if err == nil && len(outs) != len(ins) {
			err = errors.New("a batch answered fewer calls than it was given")
		}
		for i, c := range calls {
			if err != nil {
				c.out <- result[Out]{err: err}
			} else {
				c.out <- result[Out]{out: outs[i]}
			}
		}
	}
}

// fill adds to the first call what is queued; it waits until there are enough, but not for long.
func (b *Batcher[In, Out]) fill(first call[In, Out], enough int) []call[In, Out] {
	calls := append(make([]call[In, Out], 0, b.max), first)
	var late <-chan time.Time
	for len(calls) < b.max {
		select {
		case c, ok := <-b.queue:
			if !ok {
				return calls
			}
			calls = append(calls, c)
			continue
		default:
		}
		if len(calls) >= enough {
			return calls
		}
		if late == nil {
			late = time.After(gather)
		}
		select {
		case c, ok := <-b.queue:
			if !ok {
				return calls
			}
			calls = append(calls, c)
		case <-late:
			return calls
		}
	}
	return calls
}

// guarded turns a panic of run into an error: the calls of one batch fail, and the next are served. What it panicked with is
// left out, since that may hold anything.
func (b *Batcher[In, Out]) guarded(ins []In) (outs []Out, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("a batch panicked")
		}
	}()
	return b.run(context.Background(), ins)
}
