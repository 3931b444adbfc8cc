package booking_test

import (
	"context"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema/sqldb"
)

// Keys that have expired are deleted; one of them that a request is at just now stays, and is not waited for.
func TestPruneKeys(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		w.book("id-1", "g1")
		w.book("id-2", "g2")
		w.book("id-3", "g2")
		prune := func(want int64) {
			t.Helper()
			would, err := booking.ExpiredKeys(t.Context(), w.db)
			if err != nil {
				t.Fatal(err)
			}
			n, more, err := booking.PruneKeys(t.Context(), w.db)
			if err != nil || n != want || more || would < n {
				t.Errorf("%d of %d expired keys are deleted, want %d; more %v, %v", n, would, want, more, err)
			}
		}
		prune(0)
		expire := func(ctx context.Context, tx *sqldb.Tx, n int) error {
			_, err := tx.Exec(ctx, `UPDATE idempotency_key SET expires_at = ? WHERE key IN (SELECT key FROM idempotency_key ORDER BY key LIMIT ?)`,
				sqldb.At(time.Unix(0, 0)), n)
			return err
		}
		if err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return expire(ctx, tx, 2) }); err != nil {
			t.Fatal(err)
		}
		if w.db.Dialect() == sqldb.Postgres { // SQLite has one writer
			err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := expire(ctx, tx, 1); err != nil {
					return err
				}
				prune(1)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			prune(1)
		} else {
			prune(2)
		}
		prune(0)
		w.audit()
	})
}
