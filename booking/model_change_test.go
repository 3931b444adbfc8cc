package booking_test

import (
	"errors"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ansim/booking"
	"ansim/schema/personal"
)

// changed is a move or a correction that was answered, for repeats of its key.
type changed struct {
	do    func() (booking.Reply, error)
	reply booking.Reply
	err   error
}

// phones are those that corrections choose from; the first is that of a booking.
var phones = []personal.Phone{"+821012345678", "+821055556666", "+821077778888"}

// reschedule moves somebody's reservation, with a version that it has, had, or never had.
func (m *model) reschedule(rt *rapid.T, w *world, who, slot string) {
	r, ok := m.active[who]
	if !ok {
		rt.Skip()
	}
	call, ifMatch := w.call(), rapid.IntRange(0, r.Version+1).Draw(rt, "if match")
	var want error
	switch {
	case ifMatch != 0 && ifMatch != r.Version:
		want = booking.ErrVersionMismatch
	case slot != r.Slot.ID && m.taken(slot) >= m.capacity[slot]:
		want = booking.ErrSlotFull
	}
	m.changed(rt, w, who, want, slot != r.Slot.ID, func() (booking.Reply, error) {
		return w.svc.Reschedule(w.t.Context(), call, r.ID, slot, ifMatch)
	})
	if now := m.active[who]; want == nil && now.Slot.ID != slot {
		rt.Fatalf("moved to %s, wanted %s", now.Slot.ID, slot)
	}
}

// correct gives somebody another number.
func (m *model) correct(rt *rapid.T, w *world, who string) {
	r, ok := m.active[who]
	if !ok {
		rt.Skip()
	}
	call, phone := w.call(), rapid.SampledFrom(phones).Draw(rt, "phone")
	m.changed(rt, w, who, nil, phone != r.Phone, func() (booking.Reply, error) {
		return w.svc.Correct(w.t.Context(), call, r.ID, booking.Correction{Phone: phone}, 0)
	})
	if now := m.active[who]; now.Phone != phone {
		rt.Fatal("the number was not corrected")
	}
}

// changed does a change and takes its reply into the model.
func (m *model) changed(rt *rapid.T, w *world, who string, want error, differs bool, do func() (booking.Reply, error)) {
	was := m.active[who]
	reply, err := do()
	m.changes = append(m.changes, changed{do, reply, err})
	if want != nil {
		if !errors.Is(err, want) {
			rt.Fatalf("changed: %v, the model says %v", err, want)
		}
		return
	}
	now := reply.Reservation
	if err != nil || now.ID != was.ID || now.Code != was.Code || reply.Unchanged == differs {
		rt.Fatalf("changed: %+v, %v; differs: %v", reply, err, differs)
	}
	if differs {
		if now.Version != was.Version+1 {
			rt.Fatalf("version %d after %d", now.Version, was.Version)
		}
		m.stories[now.ID] = &story{version: now.Version, caused: w.clock.Now()}
		m.active[who] = now
	}
}

// repeatChange sends a change again under its key: the answer is the same, whatever has become of the reservation since.
func (m *model) repeatChange(rt *rapid.T, w *world) {
	if len(m.changes) == 0 {
		rt.Skip()
	}
	c := m.changes[rapid.IntRange(0, len(m.changes)-1).Draw(rt, "which")]
	reply, err := c.do()
	if c.err != nil {
		if !errors.Is(err, errors.Unwrap(c.err)) {
			rt.Fatalf("repeat: %v, the first time %v", err, c.err)
		}
		return
	}
	want := c.reply
	want.Replayed = true
	if d := cmp.Diff(want, reply); err != nil || d != "" {
		rt.Fatalf("repeat: %v\n%s", err, d)
	}
}
