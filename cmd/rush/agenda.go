package rush

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// agenda is what people want to do, by when. What is due waits for a free hand, and its time stays what it was: that the crowd
// is slow must not make the service look fast.
type agenda struct{ *plans }

type plans struct {
	mu    sync.Mutex
	items todo
	open  int // due or yet to come, or being done
	wake  chan struct{}
}

type item struct {
	due time.Time
	do  func(context.Context)
}

type todo []item

func newAgenda() agenda { return agenda{&plans{wake: make(chan struct{}, 1)}} }

// add plans something.
func (a agenda) add(due time.Time, do func(context.Context)) {
	a.mu.Lock()
	heap.Push(&a.items, item{due, do})
	a.open++
	a.mu.Unlock()
	a.nudge()
}

func (a agenda) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// next is what is due, or how long to wait for it; over when there is nothing left and nobody who may add to it.
func (a agenda) next(now time.Time) (do func(context.Context), wait time.Duration, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.open == 0:
		return nil, 0, true
	case len(a.items) == 0:
		return nil, time.Hour, false
	}
	if wait = a.items[0].due.Sub(now); wait > 0 {
		return nil, wait, false
	}
	return heap.Pop(&a.items).(item).do, 0, false
}

func (a agenda) done() {
	a.mu.Lock()
	a.open--
	a.mu.Unlock()
	a.nudge()
}

// work does everything on the agenda, up to hands things at once, until nothing is left or ctx ends.
func (a agenda) work(ctx context.Context, hands int) {
	ready := make(chan func(context.Context))
	var wg sync.WaitGroup
	for range hands {
		wg.Go(func() {
			for do := range ready {
				do(ctx)
				a.done()
			}
		})
	}
	defer wg.Wait()
	defer close(ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		do, wait, over := a.next(time.Now())
		if over {
			return
		}
		if do != nil {
			select {
			case ready <- do:
			case <-ctx.Done():
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
			return
		}
	}
}

// Len implements heap.Interface.
func (t todo) Len() int { return len(t) }

// Less implements heap.Interface.
func (t todo) Less(i, j int) bool { return t[i].due.Before(t[j].due) }

// Swap implements heap.Interface.
func (t todo) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *todo) Push(x any) { *t = append(*t, x.(item)) }

// Pop implements heap.Interface.
func (t *todo) Pop() any {
	last := (*t)[len(*t)-1]
	(*t)[len(*t)-1] = item{}
	*t = (*t)[:len(*t)-1]
	return last
}
