package sandbox

import (
	"container/heap"
	"time"
)

// tick is how finely the calendar counts: what is due within one is done together, so that a rush of texts costs one
// waking a tick and not one a text.
const tick = time.Millisecond

// calendar holds what is due, by ticks.
type calendar struct {
	ticks ticks                   // that have appointments, a heap
	slots map[int64][]appointment // by tick, in the order in which they came
}

// appointment is something that is due: the next step of a text, or a callback.
type appointment struct {
	j    *journey
	call *call // nil: the next step
}

func newCalendar() calendar { return calendar{slots: map[int64][]appointment{}} }

// add notes an appointment, and says whether it comes before all others. It is due at the end of its tick.
func (c *calendar) add(at time.Time, a appointment) (first bool) {
	t := (at.UnixNano() + int64(tick) - 1) / int64(tick)
	slot, ok := c.slots[t]
	if !ok {
		heap.Push(&c.ticks, t)
	}
	c.slots[t] = append(slot, a)
	return !ok && c.ticks[0] == t
}

// due takes the appointments of the first tick that is over, or tells how long until there is one.
func (c *calendar) due(now time.Time) (due []appointment, pause time.Duration) {
	if len(c.ticks) == 0 {
		return nil, time.Hour
	}
	first := c.ticks[0]
	if wait := time.Duration(first*int64(tick) - now.UnixNano()); wait > 0 {
		return nil, wait
	}
	heap.Pop(&c.ticks)
	due = c.slots[first]
	delete(c.slots, first)
	return due, 0
}

type ticks []int64

func (t ticks) Len() int           { return len(t) }
func (t ticks) Less(i, j int) bool { return t[i] < t[j] }
func (t ticks) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is heap's.
func (t *ticks) Push(x any) { *t = append(*t, x.(int64)) }

// Pop is heap's.
func (t *ticks) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}
