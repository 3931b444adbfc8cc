package outbox

import (
	"context"
	"fmt"

	"ansim/schema/sqldb"
)

// restored mends a PostgreSQL database that was filled from a dump (pg_dump, logical replication) of another: rows and
// position then hold transaction ids of that one, which here are yet to come. Rows would not be read until the counter
// reached them, and what is committed before that would lie behind the position and never be read.
//
// Such rows get this transaction's id, and the position goes back to the beginning: everything is published again, which
// readers do not mind, since an event keeps its id. A physical copy (base backup, point in time) keeps its counter and is
// not touched.
func (r *Relay) restored(ctx context.Context, tx *sqldb.Tx, pos position) (position, error) {
	if tx.Dialect() == sqldb.SQLite {
		return pos, nil
	}
	var foreign bool
	// No row that is visible, and no position that was stored, can be of a transaction that is not over.
	err := tx.Get(ctx, &foreign, `SELECT pg_snapshot_xmax(CAST(? AS pg_snapshot)) > pg_snapshot_xmax(pg_current_snapshot())
		OR EXISTS (SELECT 1 FROM outbox WHERE txid >= pg_snapshot_xmax(pg_current_snapshot()))`, tx.Unplanned(pos.from)...)
	if err != nil {
		return pos, fmt.Errorf("compare the position with the database's transactions: %w", err)
	}
	if !foreign {
		return pos, nil
	}
	n, err := tx.Exec(ctx, `UPDATE outbox SET txid = pg_current_xact_id() WHERE txid >= pg_snapshot_xmax(pg_current_snapshot())`)
	if err != nil {
		return pos, fmt.Errorf("mend a restored outbox: %w", err)
	}
	r.opts.Log.Warn("the outbox was restored from another database; everything in it is published again", "rows_mended", n)
	return position{from: beginning}, nil
}
