package booking_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

func (w *world) move(id, slot string) (booking.Reply, error) {
	return w.svc.Reschedule(w.t.Context(), w.call(), id, slot, 0)
}

func TestReschedule(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g1")
		w.clock.Set(noon.Add(time.Minute))
		call := w.call()
		got, err := w.svc.Reschedule(t.Context(), call, r.ID, "m1", 1)
		if err != nil {
			t.Fatal(err)
		}
		now := got.Reservation
		if now.ID != r.ID || now.Code != r.Code || now.Version != 2 || now.Slot.ID != "m1" || now.Slot.SiteID != "mapo" ||
			now.Slot.StartsAt.Format(time.RFC3339) != "2021-07-26T10:30:00+09:00" || !now.CreatedAt.Equal(r.CreatedAt) || !now.UpdatedAt.Equal(noon.Add(time.Minute)) {
			t.Errorf("moved: %+v", now)
		}
		read, err := w.svc.Get(t.Context(), w.client, r.ID)
		if err != nil || cmp.Diff(now, read) != "" {
			t.Errorf("Get: %v\n%s", err, cmp.Diff(now, read))
		}
		if n := w.count("SELECT COUNT(*) FROM outbox WHERE type = 'ansim.reservation.changed.v1' AND version = 2 AND reservation_id = ?", r.ID); n != 1 {
			t.Errorf("%d events", n)
		}
		if n := w.count("SELECT COUNT(*) FROM reservation_history WHERE version = 1 AND slot_id = 'g1' AND site_id = 'gangnam' AND since = ?", sqldb.At(noon)); n != 1 {
			t.Errorf("%d past versions", n)
		}
		w.book("id-2", "g1") // the old place is free at once
		again, err := w.svc.Reschedule(t.Context(), call, r.ID, "m1", 1)
		got.Replayed = true
		if err != nil || cmp.Diff(got, again) != "" {
			t.Errorf("repeat: %v\n%s", err, cmp.Diff(got, again))
		}
		if same, err := w.move(r.ID, "m1"); err != nil || !same.Unchanged || same.Reservation.Version != 2 {
			t.Errorf("moved to where it is: %+v, %v", same, err)
		}
		w.audit()
	})
}

func TestRescheduleRefused(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		w.apply(otherProgramme)
		r := w.book("id-1", "g2")
		w.book("id-2", "g1")
		refused := func(name string, err, kind error) *booking.Refusal {
			t.Helper()
			f := refusal(t, err, kind)
			if got, err := w.svc.Get(t.Context(), w.client, r.ID); err != nil || got.Version != 1 || got.Slot.ID != "g2" {
				t.Errorf("%s: changed nevertheless: %+v, %v", name, got, err)
			}
			return f
		}
		_, err := w.move(r.ID, "g1")
		full := refused("full", err, booking.ErrSlotFull)
		if len(full.Alternatives) == 0 {
			t.Error("no alternatives")
		}
		for _, a := range full.Alternatives {
			if a.ID == "g2" {
				t.Error("where it is already is offered as an alternative")
			}
		}
		for _, slot := range []string{"nowhere", "other-1", "g1\x00"} {
			_, err = w.move(r.ID, slot)
			refused(slot, err, booking.ErrNoSlot)
		}
		_, err = w.svc.Reschedule(t.Context(), w.call(), r.ID, "m1", 7)
		if f := refused("version", err, booking.ErrVersionMismatch); f.Version != 1 {
			t.Errorf("has version %d", f.Version)
		}
		_, err = w.svc.Reschedule(t.Context(), w.callAs(w.other, "k", "body"), r.ID, "m1", 0)
		refused("another client", err, booking.ErrNotFound)
		w.clock.Set(r.Slot.StartsAt)
		_, err = w.move(r.ID, "g5")
		refused("begun", err, booking.ErrNotChangeable)
		_, err = w.svc.Correct(t.Context(), w.call(), r.ID, booking.Correction{Language: "en"}, 0)
		refused("begun", err, booking.ErrNotChangeable)
		w.clock.Set(noon)
		w.cancel(r.ID)
		if _, err = w.move(r.ID, "m1"); !errors.Is(err, booking.ErrNotChangeable) {
			t.Errorf("a cancelled one moved: %v", err)
		}
		w.audit()
	})
}

// Moving is no way around the gate: who could not book now cannot move either, to the last millisecond on both sides.
func TestRescheduleGate(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		closes := opening.Add(time.Hour) // of the rule born-1962
		req := person("id-1", "g2")
		req.BirthDate = "1962-05-05"
		w.clock.Set(closes.Add(-2 * time.Millisecond))
		reply, err := w.svc.Book(t.Context(), w.call(), req)
		if err != nil {
			t.Fatal(err)
		}
		id := reply.Reservation.ID
		w.clock.Set(closes)
		_, err = w.move(id, "g3")
		if f := refusal(t, err, booking.ErrWindowClosed); f.Rule != "born-1962" || !f.ClosesAt.Equal(closes) {
			t.Errorf("refused by %+v", f)
		}
		w.clock.Set(closes.Add(-time.Millisecond))
		if _, err = w.move(id, "g3"); err != nil {
			t.Errorf("a millisecond before the end: %v", err)
		}
		// The clock of the database went back (or another rule opens later): early by 1 ms is early.
		w.clock.Set(opening.Add(-time.Millisecond))
		_, err = w.move(id, "g4")
		if f := refusal(t, err, booking.ErrNotOpenYet); !f.OpensAt.Equal(opening) {
			t.Errorf("opens at %v", f.OpensAt)
		}
		w.audit()
	})
}

func TestCorrect(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		req := person("id-1", "g1")
		req.Booker = &booking.Person{Name: "홍판서", Phone: "+821099998888"}
		first, err := w.svc.Book(t.Context(), w.call(), req)
		if err != nil {
			t.Fatal(err)
		}
		call := w.call()
		got, err := w.svc.Correct(t.Context(), call, first.Reservation.ID, booking.Correction{Phone: "+821055556666", Name: "홍길순"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		now := got.Reservation
		if now.Version != 2 || now.Phone.Reveal() != "+821055556666" || now.Name.Reveal() != "홍길순" || now.Language != "ko" || now.Slot.ID != "g1" {
			t.Errorf("corrected: %+v", now)
		}
		if n := w.count("SELECT COUNT(*) FROM outbox WHERE type = 'ansim.reservation.changed.v1' AND recipients = 'resident,booker,former'"); n != 1 {
			t.Errorf("%d events for both and the former number", n)
		}
		var past personal.Phone
		err = w.db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			a, err := booking.Appointments(ctx, tx, []string{now.ID}, false)
			past = a[now.ID].PastPhones[1]
			return err
		})
		if err != nil || past.Reveal() != "+821012345678" {
			t.Errorf("the number of version 1 is %q, %v", past.Reveal(), err)
		}
		// The answers of both are given again as they were, also when the name has changed once more.
		if _, err := w.svc.Correct(t.Context(), w.call(), now.ID, booking.Correction{Name: "홍길녀"}, 0); err != nil {
			t.Fatal(err)
		}
		if n := w.count("SELECT COUNT(*) FROM outbox WHERE recipients = 'resident,booker' AND version = 3"); n != 1 {
			t.Errorf("%d events of a correction that leaves the number", n)
		}
		again, err := w.svc.Correct(t.Context(), call, now.ID, booking.Correction{Phone: "+821055556666", Name: "홍길순"}, 1)
		got.Replayed = true
		if err != nil || cmp.Diff(got, again) != "" || again.Reservation.Name.Reveal() != "홍길순" {
			t.Errorf("repeat: %v\n%s", err, cmp.Diff(got, again))
		}
		w.audit()
	})
}

// Two services on one database move, cancel and correct the same few reservations at once: no place is lost or made, and the
// versions have no gap.
func TestChangesOfTwoProcesses(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		const people, rounds = 6, 15
		services := []*booking.Service{w.svc, w.service()}
		var ids []string
		for i := range people {
			ids = append(ids, w.book(fmt.Sprintf("id-%d", i), []string{"g2", "g3", "g4"}[i%3]).ID)
		}
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range rounds {
					id, svc := ids[(worker+i)%people], services[(worker+i)%2]
					var err error
					switch i % 5 {
					case 4:
						_, err = svc.Correct(t.Context(), w.call(), id, booking.Correction{Phone: phones[(worker+i)%3]}, 0)
					default:
						_, err = svc.Reschedule(t.Context(), w.call(), id, []string{"g1", "g2", "g3", "m1"}[(worker+i)%4], 0)
					}
					if err != nil && !errors.Is(err, booking.ErrSlotFull) {
						t.Errorf("change: %v", err)
					}
				}
			})
		}
		all.Wait()
		w.audit()
		if n := w.count(`SELECT COUNT(*) FROM reservation r WHERE r.version - 1 <> (SELECT COUNT(*) FROM reservation_history h
			WHERE h.reservation_id = r.id)`); n != 0 {
			t.Errorf("%d reservations without all their past versions", n)
		}
	})
}

const otherProgramme = `
id: flu
name: {ko: 독감, en: Flu}
tag: {ko: 독감예약, en: Flu}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
sites:
  - {id: other, name: {ko: 강북구보건소, en: Gangbuk Health Center}}
slots:
  - {id: other-1, site: other, starts_at: 2021-07-26T10:30:00+09:00, capacity: 1}
`

// A change that had to wait for an attempt to begin is later than the attempt, also by its time: whoever reads both afterwards
// must not think that the attempt began in spite of the change.
func TestAChangeIsLaterThanTheAttemptItWaitedFor(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g2")
		began := noon.Add(time.Hour)
		w.clock.Set(noon.Add(time.Minute)) // when the change arrives
		cancelled := make(chan booking.Reservation, 1)
		err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := booking.Appointments(ctx, tx, []string{r.ID}, true); err != nil {
				return err
			}
			go func() { cancelled <- w.cancel(r.ID) }()
			if w.db.Dialect() == sqldb.Postgres { // on SQLite it cannot begin before this transaction ends
				w.waitFor(func() bool {
					return w.count(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
				})
			}
			w.clock.Set(began)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-cancelled; got.UpdatedAt.Before(began) {
			t.Errorf("the change is of %s, and the attempt before it began at %s", got.UpdatedAt, began)
		}
	})
}
