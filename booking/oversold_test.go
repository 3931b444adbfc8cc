package booking_test

import (
	"context"
	"testing"

	"ansim/booking"
	"ansim/schema/sqldb"
)

// TestThePlacesAreReadUnderTheSlotsLock: while another process takes the last place and has not committed yet, a booking waits for
// it, and is then told that the slot is full. Had it read the places without waiting, the table's CHECK would be all that is
// left, and people would get an error.
func TestThePlacesAreReadUnderTheSlotsLock(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		if w.db.Dialect() == sqldb.SQLite {
			return // one transaction writes at a time
		}
		answer := make(chan error, 1)
		if err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE slot SET taken = capacity WHERE id = 'g1'`); err != nil {
				return err
			}
			go func() {
				_, err := w.svc.Book(t.Context(), w.call(), person("id-1", "g1"))
				answer <- err
			}()
			for w.count(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
				select {
				case err := <-answer:
					t.Errorf("it did not wait: %v", err)
					answer <- err
					return nil
				default:
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		refusal(t, <-answer, booking.ErrSlotFull)
	})
}

// TestTheTourFindsWhatIsOversold: what the constraint would have kept out is seen, on a tour of several looks, and is forgotten a tour
// after it was put right.
func TestTheTourFindsWhatIsOversold(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		first := w.book("id-1", "g1")
		w.book("id-2", "g2")
		tour := booking.NewOversoldLook(w.db)
		look := func() int64 {
			t.Helper()
			n, err := tour.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		all := func() (most int64) { // each tour ends with a look that finds nothing more
			for range 4 {
				most = max(most, look())
			}
			return look()
		}
		if n := all(); n != 0 {
			t.Errorf("%d slots are called oversold", n)
		}
		change := func(query string, args ...any) {
			t.Helper()
			if err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, query, args...)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		// As if the guard and the constraint had failed: a reservation more than there are places, of which taken knows nothing.
		change(`UPDATE slot SET capacity = 1 WHERE id = 'g2'`)
		change(`UPDATE reservation SET slot_id = 'g2' WHERE id = ?`, first.ID)
		if n := all(); n != 1 {
			t.Errorf("%d are found, want 1", n)
		}
		change(`UPDATE reservation SET slot_id = 'g1' WHERE id = ?`, first.ID)
		if n := all(); n != 0 {
			t.Errorf("%d are still called oversold", n)
		}
	})
}
