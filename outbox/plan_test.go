package outbox

import (
	"context"
	"strings"
	"testing"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// Whatever PostgreSQL knows or does not know of the table, each look of the relay reads an index: fresh, after a few huge
// transactions, and after many small ones, with and without statistics.
func TestEveryLookReadsAnIndex(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	insert := func(transactions, rows int) {
		t.Helper()
		for range transactions {
			if _, err := db.Pool().Exec(`INSERT INTO outbox (event_id, type, reservation_id, version, recipients, created_at)
				SELECT gen_random_uuid(), 'ansim.reservation.booked.v1', gen_random_uuid(), 1, 'resident', now()
				FROM generate_series(1, $1)`, rows); err != nil {
				t.Fatal(err)
			}
		}
	}
	var now string
	check := func(when string) {
		t.Helper()
		for what, args := range map[string][]any{
			diffQuery: {now, "{}", 4001}, diffQuery + "  -- open": {now, "{5,6,7,8,9,10,11,12,900000}", 4001},
			pageQuery: {30_000, now, now, 4000},
		} {
			var plan []string
			err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return tx.Select(ctx, &plan, "EXPLAIN "+what, tx.Unplanned(args...)...)
			})
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan") {
				t.Errorf("%s the whole table is read:\n%s", when, text)
			}
		}
	}
	look := func(when string) {
		t.Helper()
		if err := db.Pool().Get(&now, `SELECT CAST(pg_current_snapshot() AS text)`); err != nil {
			t.Fatal(err)
		}
		check(when)
		if _, err := db.Pool().Exec(`ANALYZE outbox`); err != nil {
			t.Fatal(err)
		}
		check(when + ", with statistics,")
	}
	insert(4, 8000)
	look("after huge transactions")
	insert(300, 10)
	look("after small transactions")
}
