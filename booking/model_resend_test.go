package booking_test

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ansim/booking"
)

// story is what the model knows of the texts of a reservation's present version.
type story struct {
	version int
	number  int       // of its newest resend, 0 for none
	caused  time.Time // when its newest text was
	state   string    // of that text, "" while the notifier has not got it
}

// resent is a resend that was done, for repeats of its key.
type resent struct {
	order booking.ResendOrder
	reply booking.Reply
}

// decide says how a resend is refused, nil when it is done.
func (s *story) decide(o booking.ResendOrder, now time.Time) error {
	switch {
	case now.Sub(s.caused) < booking.ResendCoolDown:
		return booking.ErrCoolDown
	case s.state == "pending", s.state == "" && !o.EvenIfUnknown:
		return booking.ErrTextPending
	case (s.state == "sending" || s.state == "unknown") && !o.EvenIfUnknown:
		return booking.ErrOutcomeUnknown
	}
	return nil
}

// which draws a reservation, cancelled or not.
func (m *model) which(rt *rapid.T) string {
	ids := slices.Sorted(maps.Keys(m.stories))
	if len(ids) == 0 {
		rt.Skip()
	}
	return rapid.SampledFrom(ids).Draw(rt, "reservation")
}

func (m *model) moveTexts(rt *rapid.T, w *world) {
	id := m.which(rt)
	s := m.stories[id]
	s.state = rapid.SampledFrom([]string{"pending", "sending", "unknown", "delivered", "failed"}).Draw(rt, "state")
	w.notify(id, s.state)
}

func (m *model) resend(rt *rapid.T, w *world) {
	id := m.which(rt)
	s := m.stories[id]
	o := order(id)
	o.EvenIfUnknown = rapid.Bool().Draw(rt, "even if unknown")
	call := w.resendCall()
	reply, err := w.svc.Resend(w.t.Context(), call, o)
	if want := s.decide(o, w.clock.Now()); want != nil {
		if !errors.Is(err, want) {
			rt.Fatalf("resend of %+v: %v, the model says %v", *s, err, want)
		}
		return
	}
	if err != nil || reply.Resent.Number != s.number+1 || reply.Resent.Version != s.version {
		rt.Fatalf("resend of %+v: %+v, %v", *s, reply, err)
	}
	s.number, s.caused, s.state = s.number+1, w.clock.Now(), ""
	m.resends[call.Key] = resent{o, reply}
}

func (m *model) repeatResend(rt *rapid.T, w *world) {
	keys := slices.Sorted(maps.Keys(m.resends))
	if len(keys) == 0 {
		rt.Skip()
	}
	key := rapid.SampledFrom(keys).Draw(rt, "key")
	was := m.resends[key]
	call := w.callAs(w.client, key, "body")
	call.Route = resendRoute
	got, err := w.svc.Resend(w.t.Context(), call, was.order)
	was.reply.Replayed = true
	if d := cmp.Diff(was.reply, got); d != "" || err != nil {
		rt.Fatalf("repeat of a resend: %v\n%s", err, d)
	}
}
