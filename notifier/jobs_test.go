package notifier

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/schema/sqldb"
)

// TestAPanicEndsNoJob: one row on which the code panics must not end the looks, the sweeper or the heartbeat for good.
func TestAPanicEndsNoJob(t *testing.T) {
	t.Parallel()
	n := &Notifier{opts: Options{Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)}}
	ctx, cancel := context.WithCancel(t.Context())
	again, rounds := make(chan struct{}), 0
	n.job(ctx, "look", time.Nanosecond, func(context.Context) (bool, error) {
		switch rounds++; rounds {
		case 1:
			panic("a row that nobody thought of")
		case 2:
			close(again)
		}
		return false, nil
	})
	<-again
	cancel()
	n.done.Wait()
}

// TestAnAttemptBeginsUnderTheReservationsLock: else a cancel could be committed between the look at the reservation and the attempt.
func TestAnAttemptBeginsUnderTheReservationsLock(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		directory, locked := b.sender.directory, []bool{}
		b.sender.directory = func(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]Appointment, error) {
			locked = append(locked, lock)
			return directory(ctx, tx, ids, lock)
		}
		b.begin(t, 1)
		if len(locked) == 0 {
			t.Fatal("nobody looked at the reservation")
		}
		for _, lock := range locked {
			if !lock {
				t.Error("the reservation may change while the attempt begins")
			}
		}
	})
}
