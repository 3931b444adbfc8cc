package booking_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"ansim/booking"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// BenchmarkBookHotSlot books through one Service into one slot, from 256 goroutines a processor:
//
//	go test -run=- -bench=BookHotSlot ./booking
func BenchmarkBookHotSlot(b *testing.B) {
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			c := dbtest.NewClock(noon)
			file := head + `
sites: [{id: x, name: {ko: 가, en: A}}]
slots: [{id: hot, site: x, starts_at: 2021-07-26T10:00:00+09:00, capacity: 1000000}]`
			w := newWorld(b, open(b, sqldb.Options{Now: c.Now}), c, file)
			svc := booking.NewService(w.db, w.ids, booking.Options{})
			defer svc.Stop()
			var n atomic.Int64
			b.SetParallelism(256)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := fmt.Sprint("p", n.Add(1))
					if _, err := svc.Book(b.Context(), w.callAs(w.client, id, id), person(id, "hot")); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bookings/s")
			w.audit()
		})
	}
}
