package api

import (
	"context"
	"sync/atomic"
	"time"

	"ansim/booking"
)

const (
	// defaultReads is how many requests read the database at once unless Options say.
	defaultReads = 4
	// maxWaiting is how many more may wait for that. A read takes about a millisecond, so the last of them waits for less than
	// maxWait; more would only grow old in the queue.
	maxWaiting = 2000
	// maxWait is how long one waits before it is told to come again.
	maxWait = 5 * time.Second
)

// gate lets so many reads through at once and so many wait; the others are refused at once. So a flood of reads holds up
// neither bookings, which have a pool and a queue of their own, nor the relay and the senders, for which it leaves a part of
// the readers' pool.
type gate struct {
	inside  chan struct{}
	waiting atomic.Int64
	most    int64         // may wait
	wait    time.Duration // so long
}

func newGate(n int) *gate {
	if n <= 0 {
		n = defaultReads
	}
	return &gate{inside: make(chan struct{}, n), most: maxWaiting, wait: maxWait}
}

// enter waits for its turn and returns what ends it, or booking.ErrOverloaded.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.inside }
	select {
	case g.inside <- struct{}{}:
		return leave, nil
	default:
	}
	if g.waiting.Add(1) > g.most {
		g.waiting.Add(-1)
		return nil, booking.ErrOverloaded
	}
	defer g.waiting.Add(-1)
	late := time.NewTimer(g.wait)
	defer late.Stop()
	select {
	case g.inside <- struct{}{}:
		return leave, nil
	case <-late.C:
		return nil, booking.ErrOverloaded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// through calls read behind the gate.
func through[T any](ctx context.Context, g *gate, read func() (T, error)) (T, error) {
	leave, err := g.enter(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer leave()
	return read()
}

// gatedService is a service whose reads pass the gate. What changes something does not: the writer's own queue bounds it.
type gatedService struct {
	service
	gate *gate
}

// Get implements service.
func (s gatedService) Get(ctx context.Context, client booking.Client, id string) (booking.Reservation, error) {
	return through(ctx, s.gate, func() (booking.Reservation, error) { return s.service.Get(ctx, client, id) })
}

// Search implements service.
func (s gatedService) Search(ctx context.Context, client booking.Client, code, reference string) ([]booking.Reservation, error) {
	return through(ctx, s.gate, func() ([]booking.Reservation, error) { return s.service.Search(ctx, client, code, reference) })
}

// Lookup implements service.
func (s gatedService) Lookup(ctx context.Context, p booking.Proof) (booking.Appointed, error) {
	return through(ctx, s.gate, func() (booking.Appointed, error) { return s.service.Lookup(ctx, p) })
}

// Programmes implements service.
func (s gatedService) Programmes(ctx context.Context) (booking.Catalogue, error) {
	return through(ctx, s.gate, func() (booking.Catalogue, error) { return s.service.Programmes(ctx) })
}

// Slots implements service.
func (s gatedService) Slots(ctx context.Context, q booking.SlotQuery) (booking.SlotPage, error) {
	return through(ctx, s.gate, func() (booking.SlotPage, error) { return s.service.Slots(ctx, q) })
}

// gatedTexts and gatedStory are the readers of other stages behind the gate.
type gatedTexts struct {
	TextsReader
	gate *gate
}

// Texts implements TextsReader.
func (t gatedTexts) Texts(ctx context.Context, ids []string) (map[string][]Text, error) {
	return through(ctx, t.gate, func() (map[string][]Text, error) { return t.TextsReader.Texts(ctx, ids) })
}

type gatedStory struct {
	TimelineReader
	gate *gate
}

// Timeline implements TimelineReader.
func (t gatedStory) Timeline(ctx context.Context, id string) ([]TimelineEntry, error) {
	return through(ctx, t.gate, func() ([]TimelineEntry, error) { return t.TimelineReader.Timeline(ctx, id) })
}
