package rush

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// agenda is what people want to do, by when. What is due waits for a free hand, and its time stays what it was: that the crowd
// is slow must not make the service look fast. Of what is due, that of whoever clicked first goes first: with hands of their own,
// as everybody had that night, people go on in seconds with what they were told, and do not begin to once the last has clicked.
type agenda struct{ *plans }

type plans struct {
	mu    sync.Mutex
	later todo // by when it is due
	due   todo // by who clicked first
	open  int  // due or yet to come, or being done
	wake  chan struct{}
}

type item struct {
	due, click, order time.Time // order is by which of the two its list goes
	do                func(context.Context)
}

type todo []item

func newAgenda() agenda { return agenda{&plans{wake: make(chan struct{}, 1)}} }

// add plans something for one who clicked at a time.
func (a agenda) add(due, click time.Time, do func(context.Context)) {
	a.mu.Lock()
	heap.Push(&a.later, item{due, click, due, do})
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
	for len(a.later) > 0 && !a.later[0].due.After(now) {
		i := heap.Pop(&a.later).(item)
		i.order = i.click
		heap.Push(&a.due, i)
	}
	switch {
	case len(a.due) > 0:
		return heap.Pop(&a.due).(item).do, 0, false
	case a.open == 0:
		return nil, 0, true
	case len(a.later) == 0:
		return nil, time.Hour, false
	}
	return nil, a.later[0].due.Sub(now), false
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
func (t todo) Less(i, j int) bool { return t[i].order.Before(t[j].order) }

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
