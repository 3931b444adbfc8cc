package notifier

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/notifier/text"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// TestAPanicEndsNoJob: one row on which the code panics must not end the looks, the sweeper or the heartbeat for good.
func TestAPanicEndsNoJob(t *testing.T) {
	t.Parallel()
	n := &Notifier{opts: Options{Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)}}
	ctx, cancel := context.WithCancel(t.Context())
	again, rounds := make(chan struct{}), 0
	n.job(ctx, "look", time.Nanosecond, func(context.Context) (bool, error) {
		switch rounds++; rounds {
		case 1:
			panic("a row that nobody thought of")
		case 2:
			close(again)
		}
		return false, nil
	})
	<-again
	cancel()
	n.done.Wait()
}

// TestATextThatPanicsHoldsNobodyElseUp: the text is held for a person, with the reason, those beside it in the same transaction
// go out, and once the template is mended it goes out, too.
func TestATextThatPanicsHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		neighbours := map[string]bool{b.booked(t, 1): true, b.booked(t, 2): true}
		b.sender.render = func(a Appointment, m *Message) (text.Out, error) {
			if m.ReservationID == b.reservation {
				panic("a name that nobody thought of: " + a.Name.Reveal())
			}
			return a.text(m)
		}
		var logged bytes.Buffer
		b.sender.log = slog.New(slog.NewTextHandler(&logged, nil))
		for i, r := range b.begin(t, len(neighbours)) {
			b.provider.outcome = Outcome{Class: Accepted, SID: fmt.Sprintf("SM%d", i)}
			b.fly(t, r, time.Now())
		}
		for _, m := range b.messages(t) {
			switch {
			case neighbours[m.ReservationID] && m.State != StateAccepted:
				t.Errorf("a neighbour is %s (%s)", m.State, m.Reason)
			case m.ReservationID == b.reservation && (m.State != StateHeld || m.Reason != ReasonCannotRender || len(m.log) > 0):
				t.Errorf("it is %s (%s) with %d attempts, want held (%s) with none", m.State, m.Reason, len(m.log), ReasonCannotRender)
			}
		}

		if !strings.Contains(logged.String(), b.reservation) || strings.Contains(logged.String(), "홍길동") {
			t.Errorf("the log should name the reservation and nobody's name: %s", &logged)
		}

		b.sender.render = Appointment.text
		b.insert(t, b.event(b.reservation, event.Booked, 1, 1))
		if r := b.begin(t, 1)[0]; r.text.To != "+821012345678" {
			t.Error("the text that goes out after the mending is not the one that was held")
		}
	})
}

// TestAnAttemptBeginsUnderTheReservationsLock: else a cancel could be committed between the look at the reservation and the attempt.
func TestAnAttemptBeginsUnderTheReservationsLock(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		directory, locked := b.sender.directory, []bool{}
		b.sender.directory = func(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]Appointment, error) {
			locked = append(locked, lock)
			return directory(ctx, tx, ids, lock)
		}
		b.begin(t, 1)
		if len(locked) == 0 {
			t.Fatal("nobody looked at the reservation")
		}
		for _, lock := range locked {
			if !lock {
				t.Error("the reservation may change while the attempt begins")
			}
		}
	})
}
