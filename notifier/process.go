package notifier

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"ansim/schema/sqldb"
)

const (
	// beat is how often a notifier tells how it fares, and gone how long after its last word it counts as dead.
	beat = 2 * time.Second
	gone = 15 * time.Second
	// forgotten is when a dead process's row is deleted.
	forgotten = time.Hour
	// span is over how long the rate of accepted texts is averaged, about.
	span = 10 * time.Second
)

// meter counts accepted texts; its rate is read by the heartbeat alone.
type meter struct {
	total atomic.Int64

	seen int64
	at   time.Time
	rate float64 // texts a second, averaged over span
}

func (m *meter) add(n int64) { m.total.Add(n) }

// read brings the rate up to now.
func (m *meter) read(now time.Time) float64 {
	total := m.total.Load()
	if passed := now.Sub(m.at).Seconds(); !m.at.IsZero() && passed > 0 {
		part := min(1, passed/span.Seconds())
		m.rate += part * (float64(total-m.seen)/passed - m.rate)
	}
	m.seen, m.at = total, now
	return m.rate
}

// heart tells the others, through the database, that this notifier lives and how it fares.
type heart struct {
	db    *sqldb.DB
	id    string
	pace  *pacer
	meter *meter
}

func newHeart(db *sqldb.DB, p *pacer, m *meter) *heart {
	return &heart{db: db, id: uuid.NewString(), pace: p, meter: m}
}

func (h *heart) beat(ctx context.Context) (bool, error) {
	state, slots := h.pace.status()
	rate := h.meter.read(time.Now())
	return false, h.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO notifier_process (id, started_at, seen_at, state, slots, rate)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, state = excluded.state,
			slots = excluded.slots, rate = excluded.rate`,
			h.id, sqldb.At(now), sqldb.At(now), string(state), slots, rate); err != nil {
			return fmt.Errorf("tell that this notifier lives: %w", err)
		}
		_, err = tx.Exec(ctx, `DELETE FROM notifier_process WHERE seen_at < ?`, sqldb.At(now.Add(-forgotten)))
		return wrapped("forget dead notifiers", err)
	})
}

// stop takes this notifier off the list.
func (h *heart) stop(ctx context.Context) error {
	return h.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM notifier_process WHERE id = ?`, h.id)
		return wrapped("take a notifier off the list", err)
	})
}

// Process is a notifier that runs.
type Process struct {
	ID        string     `db:"id"`
	StartedAt sqldb.Time `db:"started_at"`
	SeenAt    sqldb.Time `db:"seen_at"`
	State     string     `db:"state"` // ok, throttled, away, refused
	Slots     int        `db:"slots"` // requests that it may have under way
	Rate      float64    `db:"rate"`  // accepted texts a second
}

// Backlog is how much waits.
type Backlog struct {
	Pending, Sending, Unknown int64
	Undelivered               int64     // taken, not arrived, and to be tried again
	Person                    int64     // held or failed: somebody has to decide
	Oldest                    time.Time // the oldest change without an accepted text, zero when none waits; without Person
	// Since is from when on the oldest waits, by state (pending, sending, unknown, person); zero times for none.
	Since     map[string]time.Time
	Rate      float64   // accepted texts a second, of all notifiers together
	Processes []Process // that live
}

// States counts the living notifiers by how they see the provider; every state is there.
func (b Backlog) States() map[string]int {
	out := map[string]int{}
	for _, s := range paceStates {
		out[string(s)] = 0
	}
	for _, p := range b.Processes {
		out[p.State]++
	}
	return out
}

// Health is how the provider is, as the living notifiers see it: the worst of their states ("ok", "throttled", "away",
// "refused"), or "none" when no notifier lives.
func (b Backlog) Health() string {
	worst := "none"
	states := b.States()
	for _, s := range paceStates { // from good to bad
		if states[string(s)] > 0 {
			worst = string(s)
		}
	}
	return worst
}

// Drain is how long it takes to send what waits at the present rate; false when nothing tells, because nothing is sent.
func (b Backlog) Drain() (time.Duration, bool) {
	waiting := b.Pending + b.Sending
	switch {
	case waiting == 0:
		return 0, true
	case b.Rate < 0.01:
		return 0, false
	}
	return time.Duration(float64(waiting) / b.Rate * float64(time.Second)), true
}

// Waiting counts what is not accepted yet. It reads only the queue, which holds what is not finished.
func Waiting(ctx context.Context, db *sqldb.DB) (b Backlog, err error) {
	type row struct {
		Job    Job         `db:"job"`
		Count  int64       `db:"count"`
		Oldest *sqldb.Time `db:"oldest"`
		Later  int64       `db:"later"`
	}
	var rows []row
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows, b = nil, Backlog{}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if err := tx.Select(ctx, &rows, `SELECT job, COUNT(*) AS count, MIN(since) AS oldest,
			SUM(CASE WHEN since > ? THEN 1 ELSE 0 END) AS later FROM message_queue
			WHERE job IN ('send', 'answer', 'look', 'person') GROUP BY job`, tx.Unplanned(sqldb.At(now))...); err != nil {
			return err
		}
		return tx.Select(ctx, &b.Processes, `SELECT id, started_at, seen_at, state, slots, rate FROM notifier_process
			WHERE seen_at >= ? ORDER BY started_at, id`, sqldb.At(now.Add(-gone)))
	})
	if err != nil {
		return Backlog{}, fmt.Errorf("count what waits: %w", err)
	}
	b.Since = map[string]time.Time{"pending": {}, "sending": {}, "unknown": {}, "person": {}}
	since := map[Job]string{Send: "pending", Answer: "sending", Look: "unknown", Person: "person"}
	for _, r := range rows {
		if r.Oldest != nil {
			b.Since[since[r.Job]] = r.Oldest.Time
		}
		switch r.Job {
		case Send:
			b.Pending, b.Undelivered = r.Count-r.Later, r.Later
		case Answer:
			b.Sending = r.Count
		case Look:
			b.Unknown = r.Count
		case Person:
			b.Person = r.Count
		}
		if r.Job != Person && r.Oldest != nil && (b.Oldest.IsZero() || r.Oldest.Before(b.Oldest)) {
			b.Oldest = r.Oldest.Time
		}
	}
	for _, p := range b.Processes {
		b.Rate += p.Rate
	}
	return b, nil
}
