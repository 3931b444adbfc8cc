package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/booking"
	"ansim/notifier"
	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

const (
	// DefaultKeep is how long events and texts are kept unless told: a quarter of a year, in which somebody may still ask.
	DefaultKeep = 90 * 24 * time.Hour
	// pruneEvery is the time between two rounds of a service, and pruneFirst that from its start to the first: also one that is
	// restarted every half hour gets to it.
	pruneEvery, pruneFirst = time.Hour, 5 * time.Minute
	// pruneRest is how many times as long as a step took is waited before the next, so that deleting takes a fifth of the time
	// and all else goes on in the rest.
	pruneRest = 4
)

// CheckKeep refuses a time for which nothing may be kept so short: what Kafka still holds must still be known here. Zero keeps
// everything. The error wraps ErrUsage.
func CheckKeep(keep time.Duration) error {
	if keep != 0 && keep < event.MinKeep {
		return fmt.Errorf("%w: ANSIM_KEEP must be %v or longer, since Kafka keeps events for a week, or 0 to keep everything", ErrUsage, event.MinKeep)
	}
	return nil
}

// Pruned is how much was deleted, in rows.
type Pruned struct {
	Events int64 `json:"events"`           // of the outbox
	Texts  int64 `json:"texts"`            // messages, with their attempts and receipts
	Keys   int64 `json:"idempotency_keys"` // expired
}

// Retention deletes what is past its time: events older than Keep whose texts are known, the texts of appointments that began
// longer ago, and idempotency keys that have expired. Reservations stay. It may be interrupted at any point, and two may run at
// once.
type Retention struct {
	DB   *sqldb.DB
	Keep time.Duration // 0: of these, only keys
	Rest int           // see pruneRest
	// Deleted is told of each step that deleted rows of a table; may be nil.
	Deleted func(table string, rows int64)
}

// Run deletes everything that is past its time now; what it returns beside an error was deleted nevertheless.
func (r *Retention) Run(ctx context.Context) (done Pruned, err error) {
	if done.Keys, err = r.walk(ctx, "idempotency_key", func(ctx context.Context) (int64, bool, error) {
		return booking.PruneKeys(ctx, r.DB)
	}); err != nil {
		return done, err
	}
	if r.Keep == 0 {
		return done, nil
	}
	events, texts, err := r.prunings(ctx)
	if err != nil {
		return done, err
	}
	// Events first: texts whose event is still there stay.
	if done.Events, err = r.walk(ctx, "outbox", events.Step); err != nil {
		return done, err
	}
	done.Texts, err = r.walk(ctx, "message", texts.Step)
	return done, err
}

// Count is what Run would delete.
func (r *Retention) Count(ctx context.Context) (would Pruned, err error) {
	if would.Keys, err = booking.ExpiredKeys(ctx, r.DB); err != nil || r.Keep == 0 {
		return would, err
	}
	events, texts, err := r.prunings(ctx)
	if err != nil {
		return would, err
	}
	if would.Events, err = events.Count(ctx); err != nil {
		return would, err
	}
	would.Texts, err = texts.Count(ctx)
	return would, err
}

// prunings are made for the database's time of now.
func (r *Retention) prunings(ctx context.Context) (*outbox.Pruning, *notifier.Pruning, error) {
	var now time.Time
	err := r.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		now, err = tx.Now(ctx)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("ask the database for the time: %w", err)
	}
	before := now.Add(-r.Keep)
	return &outbox.Pruning{DB: r.DB, Before: before, Swept: notifier.Swept},
		&notifier.Pruning{DB: r.DB, Before: before, Directory: appointments}, nil
}

// walk takes steps until there is nothing more, and rests in between.
func (r *Retention) walk(ctx context.Context, table string, step func(context.Context) (int64, bool, error)) (total int64, err error) {
	for more := true; more; {
		began := time.Now()
		var n int64
		if n, more, err = step(ctx); err != nil {
			return total, err
		}
		total += n
		if n > 0 && r.Deleted != nil {
			r.Deleted(table, n)
		}
		if more && !wait(ctx, time.Duration(r.Rest)*time.Since(began)) {
			return total, ctx.Err()
		}
	}
	return total, nil
}

// wait is false when ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// startRetention deletes by itself, in the one process whose relay leads.
func (a *App) startRetention(context.Context) error {
	if a.relay == nil {
		return nil
	}
	deleted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ansim_pruned_rows_total",
		Help: "Rows that this process has deleted for their age, by table; a message stands for its attempts and receipts, too."}, []string{"table"})
	a.registry.MustRegister(deleted)
	r := &Retention{DB: a.db, Keep: a.cfg.Keep, Rest: pruneRest, Deleted: func(table string, rows int64) {
		deleted.WithLabelValues(table).Add(float64(rows))
		a.metrics.Beat("retention") // a long round is no stuck one
	}}
	a.metrics.Beat("retention")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pause := pruneFirst; wait(ctx, pause); pause = pruneEvery {
			a.retain(ctx, r, a.relay.Leading())
		}
	}()
	a.onStop("retention", func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

// retain runs r, if this process's relay leads: else another process does.
func (a *App) retain(ctx context.Context, r *Retention, leading bool) {
	if !leading {
		a.metrics.Beat("retention")
		return
	}
	done, err := r.Run(ctx)
	level := slog.LevelInfo
	switch {
	case err == nil:
		a.metrics.Beat("retention")
	case ctx.Err() == nil:
		level = slog.LevelError
	}
	a.log.Log(ctx, level, "deleted what is past its time", "events", done.Events, "texts", done.Texts, "idempotency_keys", done.Keys, "error", err)
}
