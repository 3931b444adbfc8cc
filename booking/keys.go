package booking

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"ansim/schema/sqldb"
)

const (
	keyPrefix = "ansim_"
	// keyCacheFor is how long an accepted key is believed without asking again: a revoked key works no longer than this.
	keyCacheFor = time.Second
	// maxStrangers is how many keys that this process has not seen are looked up at once. Anybody can send them, by the
	// thousand, and each is a read; those who hold a key must not wait behind them.
	maxStrangers = 4
	// lastUseEvery is how exactly the last use of a key is known.
	lastUseEvery = time.Minute
	// lastUseTime bounds the writing of that: it must not pile up behind a database that is slow.
	lastUseTime = 5 * time.Second
)

// Keys authenticates clients. Stop waits for what it still writes.
type Keys struct {
	db    *sqldb.DB
	log   *slog.Logger
	now   func() time.Time
	group singleflight.Group // thousands of requests ask for the same key when its second is over; one reads
	uses  sync.WaitGroup
	// strangers holds one for each look-up of a key that is not known here.
	strangers chan struct{}

	mu    sync.RWMutex
	known map[[sha256.Size]byte]knownKey
	rates map[string]*rate.Limiter // by key id, of those that have a rate
	used  map[string]time.Time     // by key id: when its use was written last, by this process
}

type knownKey struct {
	client Client
	asked  time.Time
	until  time.Time     // by the process's clock; zero: for good
	rate   *rate.Limiter // nil: no limit
}

// NewKeys makes the authenticator of the API keys in db. log may be nil.
func NewKeys(db *sqldb.DB, log *slog.Logger) *Keys {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keys{db: db, log: log, now: time.Now, known: map[[sha256.Size]byte]knownKey{}, rates: map[string]*rate.Limiter{},
		strangers: make(chan struct{}, maxStrangers), used: map[string]time.Time{}}
}

// Stop returns when nothing is written any more.
func (k *Keys) Stop() { k.uses.Wait() }

// Authenticate returns the client of an API key, ErrUnauthorized when there is none in force, and a *Refusal with ErrKeyRate
// when the key has a rate and has used it up in this process. Keys are found by their SHA-256; they have 256 bits from
// crypto/rand, so no slower hash is needed. An answer may be one second old, but an end that was known is kept to.
func (k *Keys) Authenticate(ctx context.Context, bearer string) (Client, error) {
	if !strings.HasPrefix(bearer, keyPrefix) || len(bearer) != len(keyPrefix)+64 {
		return Client{}, ErrUnauthorized
	}
	hash := sha256.Sum256([]byte(bearer))
	k.mu.RLock()
	c, ok := k.known[hash]
	k.mu.RUnlock()
	now := k.now()
	if age := now.Sub(c.asked); ok && age >= 0 && age < keyCacheFor {
		return c.admit(now)
	}
	ch := k.group.DoChan(string(hash[:]), func() (any, error) {
		// One caller's hanging up must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if !ok {
			select {
			case k.strangers <- struct{}{}:
				defer func() { <-k.strangers }()
			case <-ctx.Done():
				return nil, ErrOverloaded
			}
		}
		return k.read(ctx, hash)
	})
	select {
	case <-ctx.Done():
		return Client{}, ctx.Err()
	case r := <-ch:
		if r.Err != nil {
			return Client{}, r.Err
		}
		return r.Val.(knownKey).admit(k.now())
	}
}

// admit lets a request of the key's in, if it comes within its time and its rate.
func (c knownKey) admit(now time.Time) (Client, error) {
	if !c.until.IsZero() && !now.Before(c.until) {
		return Client{}, ErrUnauthorized
	}
	if c.rate == nil || c.rate.AllowN(now, 1) {
		return c.client, nil
	}
	missing := 1 - c.rate.TokensAt(now)
	wait := time.Duration(missing / float64(c.rate.Limit()) * float64(time.Second))
	return Client{}, &Refusal{Kind: ErrKeyRate, RetryAfter: max(wait, time.Second)}
}

func (k *Keys) read(ctx context.Context, hash [sha256.Size]byte) (knownKey, error) {
	asked := k.now()
	var row struct {
		ID       string      `db:"id"`
		Name     string      `db:"name"`
		Scopes   string      `db:"scopes"`
		Rate     int         `db:"rate"`
		Expires  *sqldb.Time `db:"expires_at"`
		Previous int         `db:"previous"` // 1: it is the key before, in a rotation
		Until    *sqldb.Time `db:"previous_until"`
		LastUsed *sqldb.Time `db:"last_used_at"`
	}
	var now time.Time
	err := k.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if now, err = tx.Now(ctx); err != nil {
			return err
		}
		return tx.Get(ctx, &row, `SELECT id, name, scopes, rate, expires_at, CASE WHEN hash = ? THEN 0 ELSE 1 END AS previous,
			previous_until, last_used_at FROM api_key WHERE (hash = ? OR previous_hash = ?) AND revoked_at IS NULL`, hash[:], hash[:], hash[:])
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		delete(k.known, hash)
		if errors.Is(err, sql.ErrNoRows) {
			return knownKey{}, ErrUnauthorized
		}
		return knownKey{}, fmt.Errorf("look up the API key: %w", err)
	}
	c := knownKey{client: Client{KeyID: row.ID, Name: row.Name, Scopes: strings.Fields(row.Scopes)}, asked: asked, rate: k.limiter(row.ID, row.Rate)}
	for _, end := range []*sqldb.Time{row.Expires, row.Until} {
		if end == nil || end == row.Until && row.Previous == 0 {
			continue
		}
		left := end.Sub(now) // by the clock that all processes share
		if left <= 0 {
			delete(k.known, hash)
			return knownKey{}, ErrUnauthorized
		}
		if until := asked.Add(left); c.until.IsZero() || until.Before(c.until) {
			c.until = until
		}
	}
	// Only keys that exist are kept, so strangers cannot fill the cache.
	k.known[hash] = c
	k.noteUse(row.ID, row.LastUsed, now)
	return c, nil
}

// limiter is that of a key's rate as it is now; what it has used up stays used up.
func (k *Keys) limiter(id string, perSecond int) *rate.Limiter {
	if perSecond <= 0 {
		delete(k.rates, id)
		return nil
	}
	l := k.rates[id]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		k.rates[id] = l
	}
	if l.Burst() != perSecond {
		l.SetLimitAt(k.now(), rate.Limit(perSecond))
		l.SetBurstAt(k.now(), perSecond)
	}
	return l
}

// noteUse writes, beside the request, that a key is in use, once in lastUseEvery. A failure costs nothing but that.
func (k *Keys) noteUse(id string, last *sqldb.Time, now time.Time) {
	if last != nil && now.Sub(last.Time) < lastUseEvery || now.Sub(k.used[id]) < lastUseEvery {
		return
	}
	k.used[id] = now
	k.uses.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastUseTime)
		defer cancel()
		err := k.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE api_key SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)",
				sqldb.At(now), id, sqldb.At(now))
			return err
		})
		if err != nil {
			k.log.Warn("the last use of an API key was not written", "key", id, "error", err)
		}
	})
}

// May says whether the client's key has a scope; admin has every one.
func (c Client) May(scope string) bool {
	return slices.Contains(c.Scopes, scope) || slices.Contains(c.Scopes, ScopeAdmin)
}

// parseID reads a UUID in its usual form alone, in the case that both databases compare by.
func parseID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	id, err := uuid.Parse(s)
	return id.String(), err == nil
}
