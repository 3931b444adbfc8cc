package outbox_test

import (
	"context"
	"errors"
	"testing"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// BenchmarkDrain lets a relay publish a backlog of 200,000 rows to a publisher that only counts.
func BenchmarkDrain(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { drain(b, dbtest.SQLite(b, sqldb.Options{})) })
	b.Run("postgres", func(b *testing.B) { drain(b, dbtest.Postgres(b, sqldb.Options{})) })
}

func drain(b *testing.B, db *sqldb.DB) {
	const rows = 200_000
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		for range rows / 500 {
			appendAll(b, db, 500)
		}
		rounds++
		b.StartTimer()
		ctx, cancel := context.WithCancel(b.Context())
		counter := &counter{want: rows, done: cancel}
		if err := outbox.NewRelay(db, counter, outbox.RelayOptions{}).Run(ctx); !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rounds*rows)/b.Elapsed().Seconds(), "rows/s")
}

// counter is a Publisher that counts, and calls done when it has seen want events.
type counter struct {
	got, want int
	done      func()
}

func (c *counter) Publish(_ context.Context, events []event.Event) error {
	if c.got += len(events); c.got >= c.want {
		c.done()
	}
	return nil
}
