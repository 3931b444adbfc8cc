package booking_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// A new installation has plans that were made while its tables were empty, and no statistics for a minute, which is when everybody
// comes. What a booking reads must not grow with what is booked even then: PostgreSQL's own count of what each index gave.
func TestTheFirstMinuteOfAnInstallation(t *testing.T) {
	t.Parallel()
	url := dbtest.PostgresURL(t)
	open := func(opts sqldb.Options) *sqldb.DB {
		t.Helper()
		db, err := sqldb.Open(t.Context(), url, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	c := dbtest.NewClock(noon)
	db := open(sqldb.Options{Now: c.Now})
	if _, err := schema.Migrate(t.Context(), db, false); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, db, c, head+`
sites: [{id: x, name: {ko: 가, en: A}}]
slots: [{id: hot, site: x, starts_at: 2021-07-26T10:00:00+09:00, capacity: 1000000}]`)
	// Those who come early make PostgreSQL plan for good, at the sixth run of a statement, while nobody has a place.
	c.Set(opening.Add(-time.Minute))
	for i := range 20 {
		if _, err := w.svc.Book(t.Context(), w.call(), person(fmt.Sprint("early-", i), "hot")); !errors.Is(err, booking.ErrNotOpenYet) {
			t.Fatal(err)
		}
	}
	c.Set(noon)
	const then = 3000
	var people sync.WaitGroup
	for i := range then {
		people.Go(func() {
			if _, err := w.svc.Book(t.Context(), w.call(), person(fmt.Sprint("then-", i), "hot")); err != nil {
				t.Error(err)
			}
		})
	}
	people.Wait()
	w.svc.Stop()
	_ = db.Close() // what its connections counted is told when they end

	reader := open(sqldb.Options{})
	var read []struct {
		Name  string `db:"name"`
		Scans int64  `db:"scans"`
		Rows  int64  `db:"rows"`
	}
	deadline := time.Now().Add(30 * time.Second)
	for told := false; !told; {
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not tell of the lookups: %+v", read)
		}
		read = nil
		if err := reader.Pool().Select(&read, `SELECT indexrelname AS name, idx_scan AS scans, idx_tup_read AS rows
			FROM pg_stat_user_indexes WHERE relname = 'reservation' ORDER BY 1`); err != nil {
			t.Fatal(err)
		}
		for _, r := range read {
			told = told || r.Name == "reservation_one_active" && r.Scans >= then || r.Rows > 10*then
		}
	}
	for _, r := range read {
		if r.Rows > 10*then {
			t.Errorf("%d bookings read %d rows of %s", then, r.Rows, r.Name)
		}
	}
}
