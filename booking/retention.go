package booking

import (
	"context"
	"fmt"

	"ansim/schema/sqldb"
)

// pruneAtOnce is how many idempotency keys one transaction deletes.
const pruneAtOnce = 2000

// PruneKeys deletes a page of idempotency keys that have expired, and waits for nobody: a key that a request is at stays. It
// returns how many those were, and whether there may be more.
func PruneKeys(ctx context.Context, db *sqldb.DB) (n int64, more bool, err error) {
	err = db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		n, err = tx.Exec(ctx, `DELETE FROM idempotency_key WHERE (api_key_id, route, key) IN (
			SELECT api_key_id, route, key FROM idempotency_key WHERE expires_at < ? ORDER BY expires_at LIMIT ?`+
			tx.ForUpdateSkipLocked()+`)`, tx.Unplanned(sqldb.At(now), pruneAtOnce)...)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("delete expired idempotency keys: %w", err)
	}
	return n, n == pruneAtOnce, nil
}

// ExpiredKeys counts the idempotency keys that have expired.
func ExpiredKeys(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Get(ctx, &n, `SELECT COUNT(*) FROM idempotency_key WHERE expires_at < ?`, sqldb.At(now))
	})
	if err != nil {
		return 0, fmt.Errorf("count expired idempotency keys: %w", err)
	}
	return n, nil
}
