// Package guesses bounds how often somebody may be wrong: with a code and a birth date, with a name and a password. It counts
// failures only, in memory, in each process by itself, and under hashes, so that nothing of what was guessed stays anywhere.
package guesses

import (
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// most bounds what is remembered. Beyond it failures of what is not remembered yet are told to wait.
const most = 100_000

// Counter counts the failures of many, each by itself.
type Counter struct {
	now   func() time.Time
	every time.Duration // one more failure is allowed after this
	burst int
	mu    sync.Mutex
	of    map[[16]byte]*rate.Limiter
}

// New makes a counter by which each may fail n times at once, and n times in each span on average.
func New(n int, span time.Duration, now func() time.Time) *Counter {
	return &Counter{now: now, every: span / time.Duration(n), burst: n, of: map[[16]byte]*rate.Limiter{}}
}

// Wait is how long who must wait before it may fail again, 0 when it may now.
func (c *Counter) Wait(who string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of[keyOf(who)]
	if l == nil {
		return 0
	}
	return c.untilOne(l)
}

func (c *Counter) untilOne(l *rate.Limiter) time.Duration {
	missing := 1 - l.TokensAt(c.now())
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing*float64(c.every)), time.Second)
}

// Count counts a failure, and says how long who must wait if it has none left.
func (c *Counter) Count(who string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, now := keyOf(who), c.now()
	l := c.of[k]
	if l == nil {
		if len(c.of) >= most {
			c.forget(now)
		}
		if len(c.of) >= most {
			return c.every
		}
		l = rate.NewLimiter(rate.Every(c.every), c.burst)
		c.of[k] = l
	}
	if l.AllowN(now, 1) {
		return 0
	}
	return c.untilOne(l)
}

// forget drops those that have all their failures back: they are as if they had never failed.
func (c *Counter) forget(now time.Time) {
	for k, l := range c.of {
		if l.TokensAt(now) >= float64(c.burst) {
			delete(c.of, k)
		}
	}
}

func keyOf(who string) [16]byte {
	sum := sha256.Sum256([]byte(who))
	return [16]byte(sum[:16])
}
