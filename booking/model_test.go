package booking_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ansim/booking"
)

// model is what a simple booking office would do.
type model struct {
	capacity map[string]int
	active   map[string]booking.Reservation // by identity
	gone     []booking.Reservation
	keys     map[string]answered
	stories  map[string]*story // by reservation id
	resends  map[string]resent // by key
	changes  []changed
}

type answered struct {
	identity, slot string
	id             string // "" for a refusal
	kind           error
}

func (m *model) taken(slot string) int {
	n := 0
	for _, r := range m.active {
		if r.Slot.ID == slot {
			n++
		}
	}
	return n
}

// decide says what a booking comes to: an existing reservation, a refusal, or nil for a new one.
func (m *model) decide(identity, slot string) (*booking.Reservation, error) {
	if r, ok := m.active[identity]; ok {
		if r.Slot.ID == slot && r.Phone == person(identity, slot).Phone { // no correction since
			return &r, nil
		}
		return nil, booking.ErrAlreadyBooked
	}
	if m.taken(slot) >= m.capacity[slot] {
		return nil, booking.ErrSlotFull
	}
	return nil, nil
}

// TestModel runs random bookings, cancellations, resends and repeats against the model.
func TestModel(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			if run > 12 { // each run costs commits on a real disk
				return
			}
			m := &model{capacity: map[string]int{"g1": 1, "g2": 2, "g3": 3}, active: map[string]booking.Reservation{},
				keys: map[string]answered{}, stories: map[string]*story{}, resends: map[string]resent{}}
			step := rapid.SampledFrom([]time.Duration{time.Second, booking.ResendCoolDown - time.Second, booking.ResendCoolDown})
			slots := rapid.SampledFrom([]string{"g1", "g2", "g3"})
			people := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("%d-%d", run, rapid.IntRange(0, 7).Draw(t, "person")) })
			defer func() { // the next run begins with empty slots
				for _, r := range m.active {
					w.cancel(r.ID)
				}
			}()
			rt.Repeat(map[string]func(*rapid.T){
				"book": func(rt *rapid.T) { m.book(rt, w, w.call(), people.Draw(rt, "who"), slots.Draw(rt, "slot")) },
				"cancel": func(rt *rapid.T) {
					id := people.Draw(rt, "who")
					r, ok := m.active[id]
					if !ok {
						rt.Skip()
					}
					w.cancel(r.ID)
					m.stories[r.ID] = &story{version: r.Version + 1, caused: w.clock.Now()}
					delete(m.active, id)
					m.gone = append(m.gone, r)
				},
				"reschedule":    func(rt *rapid.T) { m.reschedule(rt, w, people.Draw(rt, "who"), slots.Draw(rt, "slot")) },
				"correct":       func(rt *rapid.T) { m.correct(rt, w, people.Draw(rt, "who")) },
				"repeat change": func(rt *rapid.T) { m.repeatChange(rt, w) },
				"cancel again": func(rt *rapid.T) {
					if len(m.gone) == 0 {
						rt.Skip()
					}
					r := m.gone[rapid.IntRange(0, len(m.gone)-1).Draw(rt, "which")]
					if _, err := w.svc.Cancel(t.Context(), w.call(), r.ID, 0); !errors.Is(err, booking.ErrNotChangeable) {
						rt.Fatalf("cancelled twice: %v", err)
					}
				},
				"time passes":   func(rt *rapid.T) { w.clock.Set(w.clock.Now().Add(step.Draw(rt, "for"))) },
				"texts move":    func(rt *rapid.T) { m.moveTexts(rt, w) },
				"resend":        func(rt *rapid.T) { m.resend(rt, w) },
				"repeat resend": func(rt *rapid.T) { m.repeatResend(rt, w) },
				"repeat": func(rt *rapid.T) {
					if len(m.keys) == 0 {
						rt.Skip()
					}
					key := rapid.SampledFrom(sortedKeys(m.keys)).Draw(rt, "key")
					was := m.keys[key]
					r, err := w.svc.Book(t.Context(), w.callAs(w.client, key, "body"), person(was.identity, was.slot))
					if was.kind != nil && !errors.Is(err, was.kind) || was.kind == nil && (err != nil || r.Reservation.ID != was.id || !r.Replayed) {
						rt.Fatalf("repeat of %+v: %+v, %v", was, r, err)
					}
				},
				"": func(rt *rapid.T) {
					for slot := range m.capacity {
						if n := w.count("SELECT taken FROM slot WHERE id = ?", slot); n != m.taken(slot) {
							rt.Fatalf("slot %s: %d taken, the model says %d", slot, n, m.taken(slot))
						}
					}
					for id, s := range m.stories {
						if n := w.count("SELECT COALESCE(MAX(number), 0) FROM resend WHERE reservation_id = ? AND version = ?", id, s.version); n != s.number {
							rt.Fatalf("%d resends of version %d, the model says %d", n, s.version, s.number)
						}
					}
				},
			})
		})
		w.audit()
	})
}

func (m *model) book(rt *rapid.T, w *world, call booking.Call, identity, slot string) {
	exists, refused := m.decide(identity, slot)
	r, err := w.svc.Book(w.t.Context(), call, person(identity, slot))
	switch {
	case refused != nil:
		if !errors.Is(err, refused) {
			rt.Fatalf("book %s into %s: %v, the model says %v", identity, slot, err, refused)
		}
		m.keys[call.Key] = answered{identity: identity, slot: slot, kind: refused}
		return
	case err != nil:
		rt.Fatalf("book %s into %s: %v", identity, slot, err)
	case exists != nil && (r.Created || r.Reservation.ID != exists.ID):
		rt.Fatalf("a repeat made another reservation: %+v", r)
	case exists == nil && !r.Created:
		rt.Fatalf("not a new reservation: %+v", r)
	}
	m.active[identity] = r.Reservation
	if exists == nil {
		m.stories[r.Reservation.ID] = &story{version: 1, caused: w.clock.Now()}
	}
	m.keys[call.Key] = answered{identity: identity, slot: slot, id: r.Reservation.ID}
}

func sortedKeys(m map[string]answered) []string { return slices.Sorted(maps.Keys(m)) }
