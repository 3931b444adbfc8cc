package booking

import (
	"context"
	"fmt"

	"ansim/schema/sqldb"
)

// Oversold counts the slots that have not begun and hold more reservations than places. The tables' own constraint makes that
// impossible; this counts the reservations themselves, for a figure that somebody watches.
func Oversold(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Get(ctx, &n, `SELECT COUNT(*) FROM slot s WHERE s.starts_at > ? AND s.capacity <
			(SELECT COUNT(*) FROM reservation r WHERE r.slot_id = s.id AND r.status = 'confirmed')`, sqldb.At(now))
	})
	if err != nil {
		return 0, fmt.Errorf("count oversold slots: %w", err)
	}
	return n, nil
}
