package booking_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ansim/booking"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

func TestResend(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.bookTwo("id-1", "g2")
		later := noon
		next := func(state string) { // the texts became this, and the cool-down is over
			w.notify(r.ID, state)
			later = later.Add(booking.ResendCoolDown)
			w.clock.Set(later)
		}
		next("failed")
		call := w.resendCall()
		call.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		got, err := w.svc.Resend(t.Context(), call, booking.ResendOrder{ReservationID: strings.ToUpper(r.ID), Reason: "  no text came ", By: "somebody else", NoCoolDown: true})
		if err != nil {
			t.Fatal(err)
		}
		want := booking.Resent{EventID: got.Resent.EventID, Number: 1, Version: 1, Recipients: []event.Recipient{"resident", "booker"}, ResidentState: "pending"}
		if d := cmp.Diff(want, *got.Resent); d != "" || got.Created || got.Replayed {
			t.Errorf("%+v\n%s", got, d)
		}
		if d := cmp.Diff(r, got.Reservation); d != "" {
			t.Errorf("the reservation changed:\n%s", d)
		}
		var row struct {
			EventID                                 string `db:"event_id"`
			Recipients, Reason, RequestedBy         string
			Version, Number, WhileUnknown, Messages int
			Traceparent                             string
		}
		if err := w.db.Pool().Get(&row, `SELECT x.event_id, x.recipients, x.reason, x.requested_by AS requestedby, x.version, x.number,
			x.while_unknown AS whileunknown, o.traceparent FROM resend x JOIN outbox o ON o.event_id = x.event_id`); err != nil {
			t.Fatal(err)
		}
		if row.EventID != want.EventID || row.Recipients != "resident,booker" || row.Reason != "no text came" ||
			row.RequestedBy != "api-key:"+w.client.KeyID || row.WhileUnknown != 0 || row.Traceparent != call.Traceparent {
			t.Errorf("stored %+v", row)
		}

		next("delivered")
		one := order(r.ID)
		one.Recipients = []event.Recipient{event.Booker}
		second, err := w.alone(one)
		if err != nil || second.Number != 2 || second.ResidentState != "delivered" || !cmp.Equal(second.Recipients, one.Recipients) {
			t.Errorf("to the booker: %+v, %v", second, err)
		}
		read, err := w.svc.Get(t.Context(), w.client, r.ID)
		if want := (booking.Resends{Resident: 1, Booker: 2}); err != nil || read.Resends != want {
			t.Errorf("Get tells of the resends %+v, %v", read.Resends, err)
		}
		found, err := w.svc.Search(t.Context(), w.client, r.Code, "")
		if err != nil || len(found) != 1 || found[0].Resends != read.Resends {
			t.Errorf("Search: %+v, %v", found, err)
		}

		next("delivered")
		w.cancel(r.ID)
		next("failed")
		third, err := w.resend(order(r.ID))
		if err != nil || third.Resent.Number != 1 || third.Resent.Version != 2 || third.Reservation.Status != booking.StatusCancelled {
			t.Errorf("of a cancellation: %+v, %v", third, err)
		}
		wantEvents := []string{"booked v1 resend 0 to resident,booker", "booked v1 resend 1 to resident,booker", "booked v1 resend 2 to booker",
			"cancelled v2 resend 0 to resident,booker", "cancelled v2 resend 1 to resident,booker"}
		if d := cmp.Diff(wantEvents, w.events(r.ID)); d != "" {
			t.Error(d)
		}
		if read, err := w.svc.Get(t.Context(), w.client, r.ID); err != nil || read.Resends != (booking.Resends{Resident: 1, Booker: 1}) {
			t.Errorf("the resends of the new version: %+v, %v", read.Resends, err)
		}
		w.audit()
	})
}

// A change of what a reservation says is a version that is neither the first nor a cancellation.
func TestResendOfAChange(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g2")
		if _, err := w.db.Pool().Exec("UPDATE reservation SET version = 2"); err != nil {
			t.Fatal(err)
		}
		w.notify(r.ID, "delivered")
		w.clock.Set(noon.Add(time.Hour))
		o := order(r.ID)
		o.EvenIfUnknown = true // the notifier has no text of version 2
		if got, err := w.alone(o); err != nil || got.Version != 2 || got.Number != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if got := w.events(r.ID); got[len(got)-1] != "changed v2 resend 1 to resident" {
			t.Errorf("events %v", got)
		}
	})
}

func TestResendRefuses(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		starts := time.Date(2021, 7, 26, 1, 40, 0, 0, time.UTC) // g2
		risky := func(o *booking.ResendOrder) { o.EvenIfUnknown = true }
		toBooker := func(o *booking.ResendOrder) { o.Recipients = []event.Recipient{event.Booker} }
		for i, c := range []struct {
			name  string
			state string // of the texts; "": the notifier has none
			at    time.Time
			order func(*booking.ResendOrder)
			kind  error // nil: it is done
			wait  time.Duration
		}{
			{"cool-down", "failed", noon.Add(10*time.Second + time.Microsecond), risky, booking.ErrCoolDown, 50*time.Second - time.Microsecond},
			{"its last moment", "failed", noon.Add(booking.ResendCoolDown - time.Microsecond), nil, booking.ErrCoolDown, time.Microsecond},
			{"its end", "failed", noon.Add(booking.ResendCoolDown), nil, nil, 0},
			{"pending", "pending", noon.Add(time.Hour), risky, booking.ErrTextPending, booking.ResendCoolDown},
			{"no message yet", "", noon.Add(time.Hour), nil, booking.ErrTextPending, booking.ResendCoolDown},
			{"no message, on the risk", "", noon.Add(time.Hour), risky, nil, 0},
			{"sending", "sending", noon.Add(time.Hour), nil, booking.ErrOutcomeUnknown, booking.ResendCoolDown},
			{"unknown", "unknown", noon.Add(time.Hour), nil, booking.ErrOutcomeUnknown, booking.ResendCoolDown},
			{"unknown, on the risk", "unknown", noon.Add(time.Hour), risky, nil, 0},
			{"held", "held", noon.Add(time.Hour), nil, nil, 0},
			{"no booker", "failed", noon.Add(time.Hour), toBooker, booking.ErrNoBooker, 0},
			{"past", "failed", starts, risky, booking.ErrAppointmentPast, 0},
			{"just before", "failed", starts.Add(-time.Microsecond), nil, nil, 0},
		} {
			w.clock.Set(noon)
			r := w.book(fmt.Sprintf("id-%d", i), "g2")
			if c.state != "" {
				w.notify(r.ID, c.state)
			}
			w.clock.Set(c.at)
			o := order(r.ID)
			if c.order != nil {
				c.order(&o)
			}
			w.both(func(name string, resend func(booking.ResendOrder) (booking.Resent, error)) {
				if c.kind == nil && name == "alone" {
					return
				}
				o.NoCoolDown = name == "service" // which heeds no such wish
				got, err := resend(o)
				if c.kind == nil {
					if err != nil || got.Number != 1 {
						t.Errorf("%s: %+v, %v", c.name, got, err)
					}
					return
				}
				f := refusal(t, err, c.kind)
				if f.RetryAfter != c.wait || f.ProgrammeID != "covid" || f.ServerTime.Location().String() != "Asia/Seoul" {
					t.Errorf("%s, %s: %+v", c.name, name, f)
				}
			})
			if n := w.count("SELECT while_unknown FROM resend WHERE reservation_id = ? UNION ALL SELECT 0", r.ID); (n == 1) != (c.kind == nil && o.EvenIfUnknown) {
				t.Errorf("%s: while_unknown %d", c.name, n)
			}
			w.clock.Set(noon)
			w.cancel(r.ID) // the place is for the next
		}
		w.both(func(name string, resend func(booking.ResendOrder) (booking.Resent, error)) {
			for _, id := range []string{"", "x", uuid.NewString(), "{" + uuid.NewString() + "}"} {
				_, err := resend(order(id))
				refusal(t, err, booking.ErrNotFound)
			}
		})
		r := w.book("other's", "g2")
		_, err := w.svc.Resend(t.Context(), w.callAs(w.other, "k", "b"), order(r.ID))
		refusal(t, err, booking.ErrNotFound)
		w.audit()
	})
}

// Not every text of a reservation decides: the newest of each person who is to get one does.
func TestResendLooksAtTheNewestTextOfTheWanted(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.bookTwo("id-1", "g2")
		w.notify(r.ID, "delivered")
		w.clock.Set(noon.Add(time.Hour))
		if _, err := w.db.Pool().Exec("UPDATE message SET state = 'unknown' WHERE recipient = 'booker'"); err != nil {
			t.Fatal(err)
		}
		o := order(r.ID)
		_, err := w.resend(o)
		refusal(t, err, booking.ErrOutcomeUnknown)
		o.Recipients = []event.Recipient{event.Resident, event.Resident}
		got, err := w.resend(o)
		if err != nil || len(got.Resent.Recipients) != 1 {
			t.Fatalf("to the resident, whose text is known: %+v, %v", got, err)
		}
		// The resident's newest text is now one that the notifier has not got: how the older one ended counts no more.
		o.NoCoolDown = true
		_, err = w.alone(o)
		refusal(t, err, booking.ErrTextPending)
		w.notify(r.ID, "failed")
		if got, err := w.alone(o); err != nil || got.Number != 2 {
			t.Errorf("a redrive within the cool-down: %+v, %v", got, err)
		}
		w.audit()
	})
}

func TestResendValidates(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		for _, c := range []struct {
			slug   string
			change func(*booking.ResendOrder)
		}{
			{booking.SlugReason, func(o *booking.ResendOrder) { o.Reason = " \t " }},
			{booking.SlugReason, func(o *booking.ResendOrder) { o.Reason = strings.Repeat("가", 201) }},
			{booking.SlugReason, func(o *booking.ResendOrder) { o.Reason = "a\x00b" }},
			{booking.SlugReason, func(o *booking.ResendOrder) { o.Reason = "a\nb" }},
			{booking.SlugReason, func(o *booking.ResendOrder) { o.Reason = "a\u202eb" }},
			{booking.SlugReason, func(o *booking.ResendOrder) { o.Reason = "\xff" }},
			{booking.SlugRecipient, func(o *booking.ResendOrder) { o.Recipients = []event.Recipient{"neighbour"} }},
			{booking.SlugRequestedBy, func(o *booking.ResendOrder) { o.By = "" }},
			{booking.SlugRequestedBy, func(o *booking.ResendOrder) { o.By = "cli:" + strings.Repeat("x", 97) }},
		} {
			o := booking.ResendOrder{ReservationID: uuid.NewString(), Reason: "x", By: "cli:kim"}
			c.change(&o)
			_, err := booking.Resend(t.Context(), w.db, lookAtMessages, o)
			var p *booking.ValidationProblem
			if !errors.As(err, &p) || p.Slug != c.slug {
				t.Errorf("%s: %v", c.slug, err)
			}
			if c.slug == booking.SlugRequestedBy {
				continue // the service says itself who asks
			}
			if _, err := w.resend(o); !errors.As(err, &p) || p.Slug != c.slug {
				t.Errorf("%s, service: %v", c.slug, err)
			}
		}
		if s, err := booking.NormalizeReason(" " + strings.Repeat("가", 200) + " "); err != nil || len(s) != 600 {
			t.Errorf("200 characters: %v", err)
		}
	})
}

func TestReplayOfResend(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.bookTwo("id-1", "g2")
		w.notify(r.ID, "unknown")
		w.clock.Set(noon.Add(time.Hour))
		call := w.callAs(w.client, "k", "body")
		call.Route = resendRoute
		o := order(r.ID)
		_, err := w.svc.Resend(t.Context(), call, o)
		refusal(t, err, booking.ErrOutcomeUnknown)
		w.notify(r.ID, "delivered") // it was looked up: the same key passes now
		o.Recipients = []event.Recipient{event.Booker}
		first, err := w.svc.Resend(t.Context(), call, o)
		if err != nil || first.Replayed {
			t.Fatalf("%+v, %v", first, err)
		}
		w.notify(r.ID, "failed")
		w.clock.Set(noon.Add(2 * time.Hour))
		w.cancel(r.ID)
		first.Replayed = true
		for name, svc := range map[string]*booking.Service{"same process": w.svc, "another process": w.service()} {
			again, err := svc.Resend(t.Context(), call, o)
			if d := cmp.Diff(first, again); d != "" || err != nil { // as it was then: confirmed, the resident's delivered
				t.Errorf("%s: %v\n%s", name, err, d)
			}
		}
		other := w.book("id-2", "g2")
		if _, err := w.svc.Resend(t.Context(), call, order(other.ID)); !errors.Is(err, booking.ErrKeyReused) {
			t.Errorf("the same key for another reservation: %v", err)
		}
		if n := w.count("SELECT COUNT(*) FROM resend"); n != 1 {
			t.Errorf("%d resends of one request", n)
		}
		if n := w.count("SELECT status FROM idempotency_key WHERE key = 'k'"); n != 202 {
			t.Errorf("stored with status %d", n)
		}
		// A final refusal is the same refusal.
		w.clock.Set(time.Date(2021, 7, 26, 2, 0, 0, 0, time.UTC))
		call = w.resendCall()
		for _, replayed := range []bool{false, true} {
			_, err := w.svc.Resend(t.Context(), call, o)
			if f := refusal(t, err, booking.ErrAppointmentPast); f.Replayed != replayed || !errors.Is(err, booking.ErrNotChangeable) {
				t.Errorf("past: %+v", f)
			}
			w.clock.Set(noon)
		}
		w.audit()
	})
}

// Twenty people ask at once, half of them in another process and half of those past the writers: one is let through.
func TestResendCoolDownLetsOneThrough(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g2")
		w.notify(r.ID, "delivered")
		w.clock.Set(noon.Add(time.Hour))
		svcs := []*booking.Service{w.svc, w.service()}
		var done, cool atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				var err error
				if i%4 < 2 {
					_, err = svcs[i%4].Resend(t.Context(), w.resendCall(), order(r.ID))
				} else {
					_, err = w.alone(order(r.ID))
				}
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, booking.ErrCoolDown):
					cool.Add(1)
				default:
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if done.Load() != 1 || cool.Load() != 19 {
			t.Errorf("%d done, %d refused", done.Load(), cool.Load())
		}
		w.audit()
	})
}

// Twenty redrives at once, while the reservation's people are cancelled and booked around it: each has a number of its own.
func TestResendNumbersAreUnique(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		rs := []booking.Reservation{w.bookTwo("id-1", "g4"), w.bookTwo("id-2", "g4")}
		for _, r := range rs {
			w.notify(r.ID, "delivered")
		}
		w.clock.Set(noon.Add(time.Hour))
		var mu sync.Mutex
		numbers := map[string]bool{}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				o := order(rs[i%2].ID)
				o.NoCoolDown, o.EvenIfUnknown = true, true
				got, err := w.alone(o)
				if err != nil {
					t.Errorf("resend: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				numbers[fmt.Sprint(i%2, got.Number)] = true
			})
		}
		for i := range 8 {
			wg.Go(func() {
				for range 3 {
					got, err := w.svc.Book(t.Context(), w.call(), person(fmt.Sprintf("other-%d", i), "g5"))
					if err == nil {
						_, err = w.svc.Cancel(t.Context(), w.call(), got.Reservation.ID, 0)
					}
					if err != nil {
						t.Errorf("book and cancel beside it: %v", err)
					}
				}
			})
		}
		wg.Wait()
		if len(numbers) != 40 {
			t.Errorf("%d numbers of 40 resends", len(numbers))
		}
		for _, r := range rs {
			w.notify(r.ID, "delivered") // every number is a message of its own
		}
		if n := w.count("SELECT COUNT(*) FROM message"); n != 2*2*21 {
			t.Errorf("%d messages", n)
		}
		w.audit()
	})
}

// A resend and a cancel of one reservation in one batch are decided in the order in which they came.
func TestResendAndCancelInOneBatch(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		for i, resendFirst := range []bool{true, false} {
			w.clock.Set(noon)
			r := w.book(fmt.Sprintf("id-%d", i), "g4")
			w.notify(r.ID, "delivered")
			w.clock.Set(noon.Add(time.Hour))
			release := w.hold([]string{"g5", "m1"}[i])
			var sent, cancelled error
			var wg sync.WaitGroup
			steps := []func(){
				func() { _, sent = w.resend(order(r.ID)) },
				func() { _, cancelled = w.svc.Cancel(t.Context(), w.call(), r.ID, 0) },
			}
			if !resendFirst {
				steps[0], steps[1] = steps[1], steps[0]
			}
			for n, step := range steps {
				wg.Go(step)
				w.waitFor(func() bool { return w.svc.Waiting() == n+1 })
			}
			release()
			wg.Wait()
			want := []string{"booked v1 resend 0 to resident", "booked v1 resend 1 to resident", "cancelled v2 resend 0 to resident"}
			if !resendFirst {
				want = []string{want[0], want[2]}
				refusal(t, sent, booking.ErrCoolDown) // the cancellation has a text of its own
				sent = nil
			}
			if d := cmp.Diff(want, w.events(r.ID)); d != "" || sent != nil || cancelled != nil {
				t.Errorf("resend first %v: %v, %v\n%s", resendFirst, sent, cancelled, d)
			}
			if _, err := w.svc.Cancel(t.Context(), w.call(), w.holder(), 0); err != nil {
				t.Fatal(err)
			}
		}
		w.audit()
	})
}

// holder is the reservation that hold made.
func (w *world) holder() string {
	w.t.Helper()
	var id string
	if err := w.db.Pool().Get(&id, "SELECT reservation_id FROM idempotency_key WHERE key = 'hold'"); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.db.Pool().Exec("DELETE FROM idempotency_key WHERE key = 'hold'"); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// A resend whose transaction fails leaves neither its row nor its event, and its error and the log hold nothing of the people.
func TestResendIsOneTransaction(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.bookTwo("identity-canary", "g2")
		w.notify(r.ID, "delivered")
		w.clock.Set(noon.Add(time.Hour))
		trigger := `CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'broken'); END`
		if w.db.Dialect() == sqldb.Postgres {
			trigger = `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;
				CREATE TRIGGER broken BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION broken()`
		}
		if _, err := w.db.Pool().Exec(trigger); err != nil {
			t.Fatal(err)
		}
		log := &bytes.Buffer{}
		svc := booking.NewService(w.db, w.ids, booking.Options{Look: lookAtMessages, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		o := order(r.ID)
		o.Reason = "홍길동 of 010-1234-5678, canary reason"
		_, served := svc.Resend(t.Context(), w.resendCall(), o)
		svc.Stop()
		_, alone := w.alone(o)
		if served == nil || alone == nil || errors.As(served, new(*booking.Refusal)) {
			t.Fatalf("%v, %v", served, alone)
		}
		for _, canary := range []string{"홍길동", "홍판서", "12345678", "1234-5678", "99998888", "canary", r.Code} {
			if strings.Contains(served.Error()+alone.Error()+log.String(), canary) {
				t.Errorf("%q is shown: %v, %v, %s", canary, served, alone, log)
			}
		}
		if log.Len() == 0 {
			t.Error("a failure is not logged")
		}
		if n := w.count("SELECT COUNT(*) FROM resend"); n != 0 {
			t.Errorf("%d resends of failed transactions", n)
		}
	})
}

// The look is made under the reservation's lock: a sender that begins an attempt holds the reservation, so a resend waits for
// it, and then sees what it began.
func TestResendWaitsForABeginningAttempt(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g2")
		w.notify(r.ID, "undelivered") // a further attempt is about to begin
		w.clock.Set(noon.Add(time.Hour))
		resent := make(chan error, 1)
		err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := booking.Appointments(ctx, tx, []string{r.ID}, true); err != nil {
				return err
			}
			go func() {
				_, err := w.alone(order(r.ID))
				resent <- err
			}()
			if w.db.Dialect() == sqldb.Postgres { // on SQLite it cannot begin before this transaction ends
				w.waitFor(func() bool {
					return len(resent) > 0 || w.count(`SELECT COUNT(*) FROM pg_stat_activity
						WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
				})
			}
			_, err := tx.Exec(ctx, "UPDATE message SET state = 'sending' WHERE reservation_id = ?", r.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		refusal(t, <-resent, booking.ErrOutcomeUnknown)
	})
}
