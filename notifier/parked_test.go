package notifier_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ansim/notifier"
	"ansim/schema/event"
)

// What is parked is listed by cause, with what needs nobody apart, however small the pages are.
func TestParkedIsListedByCause(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		var lost []string
		for i := range 4 {
			lost = append(lost, w.text(parkedText{reservation: w.reservation("soon", 1), state: notifier.StateHeld,
				reason: notifier.ReasonAnswerLost, since: time.Duration(i+1) * time.Hour}))
		}
		bad := w.text(parkedText{reservation: w.reservation("soon", 1), reason: "error-21211", since: 3 * time.Hour})
		// The number is bad, but an earlier attempt may have arrived.
		both := w.text(parkedText{reservation: w.reservation("soon", 1), reason: "error-30007", since: time.Hour,
			attempts: []notifier.AttemptState{notifier.AttemptUnknown, notifier.AttemptRejected}})
		old := w.reservation("soon", 2)
		superseded := w.text(parkedText{reservation: old, reason: "error-21211", since: 9 * time.Hour})
		past := w.text(parkedText{reservation: w.reservation("past", 1), reason: "error-21211", since: 8 * time.Hour})
		orphan := w.text(parkedText{reservation: uuid.NewString(), state: notifier.StateHeld, reason: notifier.ReasonNoReservation})
		// Not parked: what moves, what has arrived, and what was asked for again, whether or not the intake has that yet.
		w.open(notifier.Pending, "")
		w.open(notifier.StateDelivered, "")
		w.open(notifier.StateUndelivered, "error-30003")
		w.open(notifier.StateSuppressed, notifier.ReasonCancelled)
		again := w.reservation("soon", 1)
		w.text(parkedText{reservation: again, reason: "error-30007"})
		w.text(parkedText{reservation: again, resend: 1, state: notifier.Pending})
		asked := w.booked()
		asked.Resend = 1
		w.text(parkedText{reservation: asked.ReservationID, reason: "error-30007"})
		w.append(asked)
		// Parked all the same: the one who booked was texted again, not the resident; and the second text that failed, too.
		other := w.booked(event.Booker)
		other.Resend = 1
		resident := w.text(parkedText{reservation: other.ReservationID, reason: "error-30007", since: 30 * time.Minute})
		w.append(other)
		twice := w.reservation("soon", 1)
		w.text(parkedText{reservation: twice, reason: "error-30007"})
		second := w.text(parkedText{reservation: twice, resend: 1, reason: "error-30007", since: 2 * time.Hour})
		ev, _ := w.readable()

		at := func(d time.Duration) time.Time { return parkedNow.Add(-d) }
		why := func(reason string) notifier.Sentences {
			return notifier.Sentences{Ko: "왜 " + reason, En: "why " + reason}
		}
		want := []notifier.ParkedCause{
			{Kind: notifier.ParkedEvents, Cause: "event of an unknown version: ansim.reservation.booked.v1", Standing: notifier.StandingOpen, Count: 1,
				Oldest: at(time.Hour), Newest: at(time.Hour), Examples: []string{ev},
				Why: notifier.Sentences{Ko: "더 새로운 버전의 ansim이 보낸 이벤트입니다. 이 프로그램을 업데이트한 뒤 다시 처리하십시오.",
					En: "A newer ansim wrote this event. Update this program, then redrive it."}},
			{Kind: notifier.ParkedTexts, Cause: notifier.ReasonAnswerLost, Standing: notifier.StandingOpen, Count: 4, Oldest: at(4 * time.Hour),
				Newest: at(time.Hour), Examples: lost[:3], Why: why(notifier.ReasonAnswerLost), MayHaveArrived: 4},
			{Kind: notifier.ParkedTexts, Cause: "error-30007", Standing: notifier.StandingOpen, Count: 3, Oldest: at(2 * time.Hour),
				Newest: at(30 * time.Minute), Examples: []string{both, resident, second}, Why: why("error-30007"), MayHaveArrived: 1},
			{Kind: notifier.ParkedTexts, Cause: "error-21211", Standing: notifier.StandingOpen, Count: 1, Oldest: at(3 * time.Hour),
				Newest: at(3 * time.Hour), Examples: []string{bad}, Why: why("error-21211"), Permanent: true},
			{Kind: notifier.ParkedTexts, Cause: "error-21211", Standing: notifier.StandingPast, Count: 1, Oldest: at(8 * time.Hour),
				Newest: at(8 * time.Hour), Examples: []string{past}, Why: why("error-21211"), Permanent: true},
			{Kind: notifier.ParkedTexts, Cause: "error-21211", Standing: notifier.StandingSuperseded, Count: 1, Oldest: at(9 * time.Hour),
				Newest: at(9 * time.Hour), Examples: []string{superseded}, Why: why("error-21211"), Permanent: true},
			{Kind: notifier.ParkedTexts, Cause: notifier.ReasonNoReservation, Standing: notifier.StandingOrphan, Count: 1, Oldest: at(0),
				Newest: at(0), Examples: []string{orphan}, Why: why(notifier.ReasonNoReservation)},
		}
		for _, page := range []int{1, 2, 3, 1000} {
			p := w.parked()
			p.Page = page
			got, err := p.List(t.Context(), notifier.Selection{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("in pages of %d (-want +got):\n%s", page, d)
			}
		}
		for _, c := range []struct {
			sel  notifier.Selection
			want []notifier.ParkedCause
		}{
			{notifier.Selection{Kind: notifier.ParkedEvents}, want[:1]},
			{notifier.Selection{Kind: notifier.ParkedTexts}, want[1:]},
			{notifier.Selection{Cause: "error-21211"}, want[3:6]},
			{notifier.Selection{Cause: "no such cause"}, want[:0]},
			{notifier.Selection{ID: bad}, want[3:4]},
			{notifier.Selection{ID: ev}, want[:1]},
		} {
			got, err := w.parked().List(t.Context(), c.sel)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%+v (-want +got):\n%s", c.sel, d)
			}
		}
	})
}
