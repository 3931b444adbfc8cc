package sqldb

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ansim/schema/sabotage"
)

// holdAtMost is how far a clock may be set back for time to go on nevertheless. What lies further back is taken for the right
// time: a machine that woke up in another year has to come home.
const holdAtMost = 30 * time.Minute

// clock is the time of a SQLite database. A file has no clock, so it is that of the machine, which may be set back, in the
// middle of the work or between two processes. Were that followed, what happens next would be dated before what happened last:
// a cancellation before the text that it came after, an attempt before the copy that it is not. So time goes on from the
// latest that was given out, slower by a tenth until the machine's clock has caught up: that far away, what lies a minute
// apart is still told apart. A clock that is set forward is followed at once. The file remembers the latest second for the next process, and for another that works on it at the same time.
type clock struct {
	wall    func() time.Time
	elapsed func() time.Duration // since some moment; nothing sets it

	mu   sync.Mutex
	last time.Time     // that was given out
	at   time.Duration // elapsed, when last was given out
}

func newClock() *clock {
	began := time.Now()
	return &clock{wall: sabotage.Now, elapsed: func() time.Duration { return time.Since(began) }}
}

// now is never earlier than what was given out before, unless that was more than holdAtMost ahead.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, at := c.wall(), c.elapsed()
	held := c.last.Add((at - c.at) * 9 / 10)
	if held.After(w) && held.Sub(w) <= holdAtMost {
		w = held
	}
	c.last, c.at = w, at
	return w
}

// reach tells the clock of a moment that another process, or one before this, has seen.
func (c *clock) reach(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.last) {
		c.last, c.at = t, c.elapsed()
	}
}

// goOn begins where the processes before this one ended, in the second that the file remembers: behind its end, if the machine's
// clock has not come so far.
func (c *clock) goOn(second time.Time) {
	if !second.IsZero() && c.wall().Before(second) {
		second = second.Add(time.Second)
	}
	c.reach(second)
}

// remembered is the file's latest second. It lies in the one number of a SQLite file that is for its application to use, which
// takes part in transactions, and costs a page that is written anyway.
func remembered(ctx context.Context, from interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
}) (time.Time, error) {
	var second int64
	if err := from.GetContext(ctx, &second, "PRAGMA user_version"); err != nil {
		return time.Time{}, fmt.Errorf("read the latest second: %w", err)
	}
	if second <= 0 {
		return time.Time{}, nil
	}
	return time.Unix(epoch+second, 0), nil
}

// epoch, 1 January 2020, is from where the seconds are counted, whose number has 31 bits: they last until 2088.
const epoch = 1577836800

// remember writes the second of now into the file, once for each.
func (t *Tx) remember(ctx context.Context, latest, now time.Time) error {
	second := now.Unix() - epoch
	if now.Unix() <= latest.Unix() && latest.Sub(now) <= holdAtMost || second <= 0 || second > 1<<31-1 {
		return nil
	}
	if _, err := t.tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", second)); err != nil {
		return fmt.Errorf("write the latest second: %w", err)
	}
	return nil
}

// lite is the time on SQLite. The first time that a transaction which writes asks, it looks at what others have seen.
func (t *Tx) lite(ctx context.Context) (time.Time, error) {
	c := t.db.clock
	if !t.writes || t.remembered {
		return c.now(), nil
	}
	latest, err := remembered(ctx, t.tx)
	if err != nil {
		return time.Time{}, err
	}
	c.reach(latest)
	now := c.now()
	t.remembered = true
	return now, t.remember(ctx, latest, now)
}
