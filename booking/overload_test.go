package booking_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"ansim/booking"
	"ansim/schema/sqldb"
)

// While somebody holds up the writer, the queue fills; what is beyond it is refused at once, reads go on, and all that was
// taken is answered when the writer can go on.
func TestFullQueue(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		there := w.book("there", "g5")
		began := make(chan struct{}, 100)
		svc := booking.NewService(w.db, w.ids, booking.Watched(booking.Options{Queue: 2, MaxBatch: 1}, func() { began <- struct{}{} }))
		defer svc.Stop()

		held, release := make(chan struct{}), make(chan struct{})
		holder := make(chan error, 1)
		go func() { // as a slow apply or another process would
			holder <- w.db.Write(context.WithoutCancel(t.Context()), func(ctx context.Context, tx *sqldb.Tx) error {
				var id string
				if err := tx.Get(ctx, &id, "SELECT id FROM slot WHERE id = 'g4'"+tx.ForUpdate()); err != nil {
					return err
				}
				close(held)
				<-release
				return nil
			})
		}()
		<-held
		answers := make(chan error, 3)
		book := func(n int) {
			_, err := svc.Book(context.WithoutCancel(t.Context()), w.call(), person(fmt.Sprint("id-", n), "g4"))
			answers <- err
		}
		go book(0)
		<-began
		go book(1)
		go book(2)
		for svc.Waiting() < 2 {
			runtime.Gosched()
		}
		if _, err := svc.Book(t.Context(), w.call(), person("late", "g4")); !errors.Is(err, booking.ErrOverloaded) {
			t.Errorf("beyond the queue: %v", err)
		}
		if got, err := svc.Get(t.Context(), w.client, there.ID); err != nil || got.ID != there.ID {
			t.Errorf("get: %v", err)
		}
		if found, err := svc.Search(t.Context(), w.client, there.Code, ""); err != nil || len(found) != 1 {
			t.Errorf("search: %v", err)
		}
		if got, err := svc.Lookup(t.Context(), booking.Proof{Code: there.Code, BirthDates: []string{there.BirthDate}}); err != nil || got.ID != there.ID || got.Site.Ko != "강남구보건소" {
			t.Errorf("lookup: %+v, %v", got, err)
		}
		if page, err := svc.Slots(t.Context(), booking.SlotQuery{Programme: "covid", Limit: 100}); err != nil || len(page.Slots) != 7 {
			t.Errorf("slots: %+v, %v", page, err)
		}
		if list, err := svc.Programmes(t.Context()); err != nil || len(list.Programmes) != 1 {
			t.Errorf("programmes: %+v, %v", list, err)
		}
		close(release)
		if err := <-holder; err != nil {
			t.Error(err)
		}
		for range 3 {
			if err := <-answers; err != nil {
				t.Errorf("what was taken: %v", err)
			}
		}
		w.audit()
	})
}
