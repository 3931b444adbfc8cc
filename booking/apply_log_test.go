package booking_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ansim/booking"
)

func (w *world) parse(file string) booking.ProgrammeFile {
	w.t.Helper()
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// A dry run says what an apply would do or refuse, and does nothing; what an apply did is on record, with when and who.
func TestApplyDryRunAndLog(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		before, err := booking.ProgrammeLog(t.Context(), w.db, "")
		if err != nil || len(before) != 13 { // the programme, three rules, two sites, seven slots
			t.Fatalf("%d on record, %v", len(before), err)
		}
		file := w.parse(strings.Replace(ruled, "capacity: 2}", "capacity: 20}", 1))
		dry, err := booking.ApplyProgramme(t.Context(), w.db, file, booking.ApplyOptions{By: "kim", DryRun: true})
		if err != nil || len(dry) != 1 || dry[0].String() != "changed slot g2: capacity 2 → 20" {
			t.Errorf("dry: %v, %v", dry, err)
		}
		if n := w.count("SELECT capacity FROM slot WHERE id = 'g2'"); n != 2 {
			t.Errorf("a dry run made the capacity %d", n)
		}
		done, err := booking.ApplyProgramme(t.Context(), w.db, file, booking.ApplyOptions{By: " kim "})
		if err != nil || len(done) != 1 || done[0] != dry[0] {
			t.Errorf("applied: %v, %v", done, err)
		}
		w.book("id-1", "g2")
		w.book("id-2", "g2")
		less := w.parse(strings.Replace(ruled, "capacity: 2}", "capacity: 1}", 1))
		for _, dryRun := range []bool{true, false} {
			if _, err := booking.ApplyProgramme(t.Context(), w.db, less, booking.ApplyOptions{By: "kim", DryRun: dryRun}); !errors.Is(err, booking.ErrBreaksBookings) {
				t.Errorf("dry run %v: a capacity below what is taken: %v", dryRun, err)
			}
		}
		log, err := booking.ProgrammeLog(t.Context(), w.db, "covid")
		if err != nil || len(log) != 14 {
			t.Fatalf("%d on record, %v", len(log), err)
		}
		if last := log[13]; last.Change != done[0] || last.By != "kim" || !last.At.Equal(noon) || last.ProgrammeID != "covid" {
			t.Errorf("on record: %+v", last)
		}
		if other, err := booking.ProgrammeLog(t.Context(), w.db, "none"); err != nil || len(other) != 0 {
			t.Errorf("of another programme: %v, %v", other, err)
		}
		if _, err := booking.ApplyProgramme(t.Context(), w.db, file, booking.ApplyOptions{}); err == nil {
			t.Error("nobody changed it")
		}
	})
}

// Capacities go up and down while people book, move and cancel, by two processes: no slot is ever oversold.
func TestApplyWhilePeopleBook(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		services := []*booking.Service{w.svc, w.service()}
		var people, applies sync.WaitGroup
		stop := make(chan struct{})
		applies.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				file := w.parse(strings.ReplaceAll(everybody, "capacity: 10}", fmt.Sprintf("capacity: %d}", 1+i%12)))
				if _, err := booking.ApplyProgramme(t.Context(), w.db, file, booking.ApplyOptions{By: "test"}); err != nil && !errors.Is(err, booking.ErrBreaksBookings) {
					t.Errorf("apply: %v", err)
					return
				}
			}
		})
		for n := range 40 {
			people.Go(func() {
				svc, slots := services[n%2], []string{"g4", "g5", "m1", "m2"}
				r, err := svc.Book(t.Context(), w.call(), person(fmt.Sprint("id-", n), slots[n%4]))
				if err == nil {
					_, err = svc.Reschedule(t.Context(), w.call(), r.Reservation.ID, slots[(n+1)%4], 0)
				}
				if err == nil && n%3 == 0 {
					_, err = svc.Cancel(t.Context(), w.call(), r.Reservation.ID, 0)
				}
				if err != nil && !errors.Is(err, booking.ErrSlotFull) {
					t.Errorf("person %d: %v", n, err)
				}
			})
		}
		people.Wait()
		close(stop)
		applies.Wait()
		w.audit()
	})
}
