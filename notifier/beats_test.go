package notifier

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/outbox/kafka"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// beaten is when a task last beat, in seconds; 0 for never.
func beaten(t *testing.T, reg prometheus.Gatherer, task string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "ansim_job_last_round_timestamp_seconds" && m.GetLabel()[0].GetValue() == task {
				return m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func quietly() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestOnlyRoundsWithoutAnErrorBeat: a job whose rounds all fail is stuck, and seen by the age of its last good round; one that has
// never had any by the time since its start.
func TestOnlyRoundsWithoutAnErrorBeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := &Notifier{opts: Options{Metrics: NewMetrics(reg), Log: quietly()}}
		start := float64(time.Now().Unix())
		ctx, cancel := context.WithCancel(t.Context())
		n.job(ctx, "fails", time.Second, func(context.Context) (bool, error) { return false, errors.New("no") })
		n.job(ctx, "panics", time.Second, func(context.Context) (bool, error) { panic("no") })
		rounds := 0
		n.job(ctx, "failed lately", time.Second, func(context.Context) (bool, error) {
			if rounds++; rounds > 3 { // at 0, 1 and 2 s it does well
				return false, errors.New("no more")
			}
			return false, nil
		})
		n.job(ctx, "does well", time.Second, func(context.Context) (bool, error) { return false, nil })
		<-time.After(10500 * time.Millisecond)
		for task, want := range map[string]float64{"fails": 0, "panics": 0, "failed lately": 2, "does well": 10} {
			if got := beaten(t, reg, task) - start; got != want {
				t.Errorf("%s: its last beat was %v s after the start, want %v", task, got, want)
			}
		}
		cancel()
		n.done.Wait()
	})
}

// idleSource has no records, and may not be able to read any.
type idleSource struct{ reading bool }

func (s idleSource) Fetch(ctx context.Context, _ int) ([]kafka.Record, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (idleSource) Commit(context.Context, []kafka.Record) error { return nil }

func (s idleSource) Reading() bool { return s.reading }

// TestAnIdleIntakeBeats: when no records come, the intake is well as long as they would.
func TestAnIdleIntakeBeats(t *testing.T) {
	t.Parallel()
	for reading, want := range map[bool]float64{true: 60, false: 0} {
		synctest.Test(t, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			in := &intake{source: idleSource{reading}, metrics: NewMetrics(reg), log: quietly()}
			start := float64(time.Now().Unix())
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); in.run(ctx) }()
			<-time.After(time.Minute + time.Second)
			if got := beaten(t, reg, "intake") - start; got != want {
				t.Errorf("reading: %v: its last beat was %v s after the start, want %v", reading, got, want)
			}
			cancel()
			<-ended
		})
	}
}

// A heard is a writer that tells of each write.
type heard func()

func (h heard) Write(p []byte) (int, error) { h(); return len(p), nil }

// TestASenderThatCannotBeginDoesNotBeat, and one that has nothing to send does.
func TestASenderThatCannotBeginDoesNotBeat(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, sqldb.Options{})
	b := newBench(t, db, dbtest.NewClock(noon), Policy{})
	run := func() (beats float64) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		beats = 0
		b.metrics.now = func() time.Time {
			if beats++; beats == 3 { // at its start, and after two rounds
				cancel()
			}
			return time.Unix(int64(beats), 0)
		}
		b.sender.log = slog.New(slog.NewTextHandler(heard(cancel), &slog.HandlerOptions{Level: slog.LevelError}))
		b.sender.run(ctx, t.Context())
		return beaten(t, b.figures, "send")
	}
	if got := run(); got != 3 {
		t.Errorf("idle: %v beats, want 3", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := run(); got != 1 {
		t.Errorf("without a database: %v beats, want that of the start alone", got)
	}
}
