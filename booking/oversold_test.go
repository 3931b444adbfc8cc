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
