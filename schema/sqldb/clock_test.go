package sqldb

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// machine is a clock that a test sets, and the time that passes whatever it says.
type machine struct {
	wall   time.Time
	passed time.Duration
}

func (m *machine) pass(d time.Duration) { m.wall, m.passed = m.wall.Add(d), m.passed+d }

func (m *machine) clock() *clock {
	return &clock{wall: func() time.Time { return m.wall }, elapsed: func() time.Duration { return m.passed }}
}

func TestTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 7, 19, 20, 0, 0, 0, time.UTC)
	m := &machine{wall: began}
	c := m.clock()
	at := func(want time.Duration, what string) {
		t.Helper()
		if got := c.now().Sub(began); got != want {
			t.Errorf("%s: it is %s after the beginning, want %s", what, got, want)
		}
	}
	at(0, "at first")
	m.pass(time.Minute)
	at(time.Minute, "a minute later")
	m.wall = m.wall.Add(-10 * time.Minute)
	at(time.Minute, "set back by ten minutes")
	m.pass(10 * time.Minute)
	at(10*time.Minute, "slower by a tenth")
	m.pass(80 * time.Minute)
	at(82*time.Minute, "slower by a tenth for an hour and a half")
	m.pass(10 * time.Minute)
	at(91*time.Minute, "when the machine's clock has caught up")
	m.pass(time.Minute)
	at(92*time.Minute, "at full speed again")
	m.wall = m.wall.Add(time.Hour)
	at(152*time.Minute, "set forward")
	m.wall = m.wall.Add(-time.Hour)
	at(92*time.Minute, "set back by more than can have been meant")
}

// TestTheFileKnowsHowLateItIs: the next process goes on from there, and so does one that works on the file at the same time.
func TestTheFileKnowsHowLateItIs(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "a.db")
	now := func(db *DB, write bool) (at time.Time) {
		t.Helper()
		how := db.Read
		if write {
			how = db.Write
		}
		if err := how(t.Context(), func(ctx context.Context, tx *Tx) (err error) {
			at, err = tx.Now(ctx)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return at
	}
	opened := func(o Options, m *machine) *DB {
		t.Helper()
		db, err := Open(t.Context(), url, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		latest, err := remembered(t.Context(), db.read)
		if err != nil {
			t.Fatal(err)
		}
		db.clock = m.clock()
		db.clock.goOn(latest)
		return db
	}
	began := time.Date(2026, 7, 19, 20, 0, 0, 500_000_000, time.UTC)
	right, behind := &machine{wall: began}, &machine{wall: began.Add(-10 * time.Minute)}
	first := opened(Options{}, right)
	if got := now(first, true); !got.Equal(began) {
		t.Errorf("in an empty file it is %s", got)
	}
	next := opened(Options{}, behind)
	if got := now(next, true); got.Before(began) || got.After(began.Add(time.Second)) {
		t.Errorf("after a process that saw %s it is %s", began, got)
	}
	right.pass(5 * time.Minute)
	now(first, false)
	if got, early := now(next, true), began.Add(2*time.Second); !got.Before(early) {
		t.Errorf("who only read has written %s", got)
	}
	now(first, true)
	if got, want := now(next, true), began.Add(5*time.Minute).Truncate(time.Second); !got.Equal(want) {
		t.Errorf("beside a process that saw %s it is %s", want, got)
	}
	if got, seen := now(opened(Options{ReadOnly: true}, behind), false), began.Add(5*time.Minute); got.Before(seen) || got.After(seen.Add(time.Second)) {
		t.Errorf("who may only read is told %s after %s", got, seen)
	}
	right.wall = began.Add(-24 * time.Hour)
	for range 2 { // also for the next process
		if got := now(opened(Options{}, right), true); !got.Equal(right.wall) {
			t.Errorf("a day back it is %s", got)
		}
	}
}
