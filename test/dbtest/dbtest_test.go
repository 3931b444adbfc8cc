package dbtest_test

import (
	"context"
	"testing"

	"ansim/schema"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func TestDatabasesAreMigratedAndApart(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := schema.Check(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		var n int
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Get(ctx, &n, `SELECT COUNT(*) FROM message`)
		})
		if err != nil || n != 0 {
			t.Errorf("a fresh database has %d messages, error %v", n, err)
		}
	})
}
