package notifier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// TestATextWithThousandsOfAttemptsStillGoesOut: a provider that throttles all night leaves many, and SQLite takes a bounded
// number of parameters.
func TestATextWithThousandsOfAttemptsStillGoesOut(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		const many = 20_000
		m := b.state(t)
		var old []*Attempt
		for n := 1; n <= many; n++ {
			old = append(old, &Attempt{Token: newToken(), MessageID: m.ID, N: n, State: AttemptNotSent, BodyHash: []byte("x"),
				StartedAt: sqldb.At(noon)})
		}
		for part := range slices.Chunk(old, 1000) { // a transaction may take a bounded time
			err := b.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := insertAttempts(ctx, tx, part); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `UPDATE message SET attempts = ? WHERE id = ?`, many, m.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		r := b.begin(t, 1)[0]
		b.sender.record(t.Context(), r, Outcome{Class: Accepted, SID: "SM1"})
		if m := b.state(t); m.State != StateAccepted || m.Attempts != many+1 {
			t.Errorf("got %s after %d attempts", m.State, m.Attempts)
		}
	})
}

// TestAFurtherAttemptWaitsForAFreshLook: the decision for it was made long ago, and the first text may have shown up since.
func TestAFurtherAttemptWaitsForAFreshLook(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		first := b.begin(t, 1)[0]
		b.sender.record(t.Context(), first, Outcome{Class: Unknown})
		b.missAll(t)
		if m := b.state(t); m.State != Pending {
			t.Fatalf("after the last look: %s", m.State)
		}
		b.clock.Add(10 * time.Minute) // the sender was resting
		b.begin(t, 0)
		if m := b.state(t); m.State != StateUnknown {
			t.Fatalf("before a fresh look: %s", m.State)
		}
		b.provider.list = []Sighting{{SID: "SM1", Body: first.text.Body, Status: "delivered", Created: noon}}
		b.round(t)
		if m := b.state(t); m.State != StateDelivered || m.Attempts != 1 {
			t.Errorf("got %s after %d attempts; the list shows the first", m.State, m.Attempts)
		}
	})
}

// TestAFreshLookThatMissesLetsTheAttemptBegin: it does not go round in circles.
func TestAFreshLookThatMissesLetsTheAttemptBegin(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		b.sender.record(t.Context(), b.begin(t, 1)[0], Outcome{Class: Unknown})
		b.missAll(t)
		b.clock.Add(10 * time.Minute)
		b.begin(t, 0)
		b.round(t)
		b.begin(t, 1)
	})
}

// TestATextThatTheListGaveToAnotherAttemptKeepsItsReceipts: both attempts look alike; the callback of the second must not
// be lost because its text was found for the first.
func TestATextThatTheListGaveToAnotherAttemptKeepsItsReceipts(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		b.sender.record(t.Context(), b.begin(t, 1)[0], Outcome{Class: Unknown})
		b.missAll(t)
		second := b.begin(t, 1)[0]
		b.sender.record(t.Context(), second, Outcome{Class: Unknown})
		b.provider.list = []Sighting{{SID: "SM2", Body: second.text.Body, Status: "sent", Created: b.clock.Now()}}
		b.clock.Add(5 * time.Second)
		b.round(t)
		if err := b.sender.recorder.Receive(t.Context(), Receipt{Token: second.text.Token, SID: "SM2", Status: "delivered"}); err != nil {
			t.Fatalf("the callback was refused: %v", err)
		}
		if m := b.state(t); m.State != StateDelivered {
			t.Errorf("got %s", m.State)
		}
	})
}

// TestTheSweeperSetsAsideWhatItDoesNotKnow: a newer program's event, and one that the database refuses, are kept in sight
// and hold nothing up.
func TestTheSweeperSetsAsideWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		mk := func(typ event.Type) event.Event {
			return event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: typ, ReservationID: uuid.Must(uuid.NewV7()).String(),
				Version: 1, Recipients: []event.Recipient{event.Resident}, Time: noon}
		}
		refused := mk(event.Booked)
		refused.Recipients = []event.Recipient{"robot"} // the table's CHECK
		err := b.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return outbox.Append(ctx, tx, []event.Event{mk(event.Booked), mk("ansim.reservation.reminded.v1"), refused, mk(event.Cancelled)})
		})
		if err != nil {
			t.Fatal(err)
		}
		if at, err := NewLookout(b.db).Overdue(t.Context()); err != nil || !at.Equal(noon) {
			t.Errorf("before the sweep the oldest is of %s, error %v; want %s", at, err, noon)
		}
		b.clock.Add(time.Hour)
		s := &sweeper{db: b.db, policy: b.sender.policy, metrics: b.sender.metrics, log: b.sender.log, wake: func() {}}
		var messages int
		var reasons []string
		// The sweeper waits behind the open transactions of other tests on the same server.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for messages < 3 && ctx.Err() == nil {
			<-tick.C
			if _, err := s.round(ctx); err != nil {
				t.Fatal(err)
			}
			err = b.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := tx.Get(ctx, &messages, `SELECT COUNT(*) FROM message`); err != nil {
					return err
				}
				reasons = nil
				return tx.Select(ctx, &reasons, `SELECT reason FROM parked_event ORDER BY reason`)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if messages != 3 || len(reasons) != 2 || !strings.Contains(reasons[0], "unknown type") || !strings.Contains(reasons[1], "refuses") {
			t.Errorf("%d messages, parked %q", messages, reasons)
		}
		if at, err := NewLookout(b.db).Overdue(t.Context()); err != nil || !at.IsZero() {
			t.Errorf("after the sweep something is overdue since %s, error %v", at, err)
		}
	})
}

// TestNothingNewerWhileACopyMayBeUnderWay: a text was attempted a second time, and then the first turns out to be delivered. The
// text is settled, and its second copy is not: what is newer must not overtake that.
func TestNothingNewerWhileACopyMayBeUnderWay(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, b *bench, second request){
		"it is answered": func(t *testing.T, b *bench, second request) {
			b.provider.outcome = Outcome{Class: Accepted, SID: "SM2"}
			b.fly(t, second, time.Now())
			b.clock.Add(behind)
		},
		"its answer is lost": func(t *testing.T, b *bench, second request) {
			b.provider.outcome = Outcome{Class: Unknown}
			b.fly(t, second, time.Now())
			b.clock.Add(behind)
			b.begin(t, 0) // it may still come
			b.clock.Add(b.policy.Looks[0])
		},
		"its process dies": func(t *testing.T, b *bench, _ request) {
			b.clock.Add(b.policy.Lease)
			b.begin(t, 0)
			b.round(t)
			b.clock.Add(behind)
			b.begin(t, 0)
			b.clock.Add(b.policy.Looks[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachBench(t, func(t *testing.T, b *bench) {
				first := b.begin(t, 1)[0]
				b.provider.outcome = Outcome{Class: Unknown}
				b.fly(t, first, time.Now())
				b.missAll(t)
				second := b.begin(t, 1)[0]
				if err := b.sender.recorder.Receive(t.Context(), Receipt{Token: first.text.Token, SID: "SM1", Status: "delivered"}); err != nil {
					t.Fatal(err)
				}
				if m := b.state(t); m.State != StateDelivered {
					t.Fatalf("it is %s", m.State)
				}
				b.book.change(b.reservation, func(a *Appointment) { a.Version = 2 })
				b.insert(t, b.event(b.reservation, event.Changed, 2, 0))
				b.begin(t, 0)
				end(t, b, second)
				b.begin(t, 1)
			})
		})
	}
}

// TestARefusedAccountIsProbedByOneText: not sixty-four at a time.
func TestARefusedAccountIsProbedByOneText(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		steady := dbtest.NewClock(noon)
		b.sender.pace = newPacer(b.sender.policy, steady.Now)
		r := b.begin(t, 1)[0]
		b.provider.outcome = Outcome{Class: Rejected, Disposition: Configuration, Code: 20003}
		b.fly(t, r, time.Now())
		if state, slots := b.sender.pace.status(); state != paceRefused || slots != 1 || b.sender.pace.resting() <= 0 {
			t.Errorf("the sender goes on as if nothing were wrong: %s, %d slots", state, slots)
		}
		if m := b.state(t); m.State != Pending || m.Reason != ReasonConfiguration || m.Failures != 0 {
			t.Errorf("got %s (%s), %d failures", m.State, m.Reason, m.Failures)
		}
		b.clock.Add(time.Minute)
		steady.Add(time.Minute)
		r = b.begin(t, 1)[0]
		b.provider.outcome = Outcome{Class: Accepted, SID: fmt.Sprintf("SM%032d", 1)}
		b.fly(t, r, time.Now())
		if state, slots := b.sender.pace.status(); state != paceOK || slots < 2 {
			t.Errorf("the account works again, and the sender is %s with %d slots", state, slots)
		}
	})
}

// TestTheLookoutSeesWhatIsMissing: what it has seen to have its messages is not looked at again, what comes later is, and what the
// sweeper has set aside is nobody's to wait for.
func TestTheLookoutSeesWhatIsMissing(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		look := NewLookout(b.db)
		overdue := func(want bool) {
			t.Helper()
			if at, err := look.Overdue(t.Context()); err != nil || at.IsZero() == want {
				t.Errorf("overdue since %s, %v; want any: %v", at, err, want)
			}
		}
		add := func(typ event.Type, withMessage bool) {
			t.Helper()
			e := event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: typ, ReservationID: uuid.Must(uuid.NewV7()).String(),
				Version: 1, Recipients: []event.Recipient{event.Resident}, Time: noon}
			err := b.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if withMessage {
					if _, err := insert(ctx, tx, []event.Event{e}); err != nil {
						return err
					}
				}
				return outbox.Append(ctx, tx, []event.Event{e})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		overdue(false)
		for range 3 {
			add(event.Booked, true)
			overdue(false)
		}
		add("ansim.reservation.reminded.v1", false)
		overdue(true)
		add(event.Booked, true)
		overdue(true)
		b.clock.Add(time.Hour)
		s := &sweeper{db: b.db, policy: b.sender.policy, metrics: b.sender.metrics, log: b.sender.log, wake: func() {}}
		// The sweeper waits behind the open transactions of other tests on the same server.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for n := 0; n == 0 && ctx.Err() == nil; {
			if _, err := s.round(ctx); err != nil {
				t.Fatal(err)
			}
			if err := b.db.Peek(ctx, &n, `SELECT COUNT(*) FROM parked_event`); err != nil {
				t.Fatal(err)
			}
		}
		overdue(false)
		add(event.Booked, false)
		overdue(true)
	})
}
