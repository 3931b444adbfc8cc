package booking

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ansim/schema/sqldb"
)

// The scopes of API keys.
const (
	ScopeBook   = "book"   // book, change and cancel
	ScopeRead   = "read"   // reservations of the same client, programmes, slots
	ScopeResend = "resend" // ask for texts again
	ScopeAdmin  = "admin"  // all of these, and those to come
)

// Scopes are all scopes.
var Scopes = []string{ScopeBook, ScopeRead, ScopeResend, ScopeAdmin}

// KeySpec is an API key that is to be made.
type KeySpec struct {
	Name      string    // 1 to 100 characters, not that of another key
	Scopes    []string  // of Scopes; none: book, read and resend
	Rate      int       // requests a second in each process, 0 for no limit
	ExpiresAt time.Time // zero: never
}

// KeyInfo is what is known of an API key. The key itself is stored nowhere.
type KeyInfo struct {
	ID            string
	Name          string
	Scopes        []string
	Rate          int
	CreatedAt     time.Time
	ExpiresAt     time.Time // zero: never
	LastUsedAt    time.Time // exact to a minute; zero: not yet
	PreviousUntil time.Time // in a rotation, until when the key before works; else zero
	RevokedAt     time.Time // zero: not revoked
}

// State is a word for how the key stands at now: active, rotating, expired or revoked.
func (k KeyInfo) State(now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	case now.Before(k.PreviousUntil):
		return "rotating"
	}
	return "active"
}

// newKey is a fresh secret and its hash.
func newKey() (secret string, hash [sha256.Size]byte) {
	var b [32]byte
	_, _ = rand.Read(b[:])
	secret = keyPrefix + hex.EncodeToString(b[:])
	return secret, sha256.Sum256([]byte(secret))
}

// CreateKey makes an API key and returns it; it cannot be shown again. ErrKeyName when the name is taken, ErrKeySpec when
// something else is wrong with spec.
func CreateKey(ctx context.Context, db *sqldb.DB, spec KeySpec) (string, error) {
	name, ok := line(spec.Name, 100)
	if !ok || name == "" {
		return "", ErrKeyName
	}
	if len(spec.Scopes) == 0 {
		spec.Scopes = []string{ScopeBook, ScopeRead, ScopeResend}
	}
	for _, s := range spec.Scopes {
		if !slices.Contains(Scopes, s) {
			return "", fmt.Errorf("%w: scopes are %s", ErrKeySpec, strings.Join(Scopes, ", "))
		}
	}
	if spec.Rate < 0 || spec.Rate > 1_000_000 {
		return "", fmt.Errorf("%w: the rate is in requests a second, 0 for no limit", ErrKeySpec)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a key id: %w", err)
	}
	secret, hash := newKey()
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var expires *sqldb.Time
		if !spec.ExpiresAt.IsZero() {
			if !spec.ExpiresAt.After(now) {
				return fmt.Errorf("%w: it would have expired already", ErrKeySpec)
			}
			expires = sqldb.AtPtr(spec.ExpiresAt)
		}
		_, err = tx.Exec(ctx, "INSERT INTO api_key (id, name, hash, scopes, rate, expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			id.String(), name, hash[:], strings.Join(slices.Compact(slices.Sorted(slices.Values(spec.Scopes))), " "), spec.Rate, expires, sqldb.At(now))
		return err
	})
	if sqldb.IsUnique(err) {
		return "", fmt.Errorf("%w: one of that name exists", ErrKeyName)
	}
	if err != nil {
		return "", fmt.Errorf("store the API key: %w", err)
	}
	return secret, nil
}

// RotateKey gives a client, found by its key's name or id, a new key, which it returns and which cannot be shown again. The
// one before works for overlap longer, on which until is when it ends; one that was before that ends at once. The
// client stays who it is: it sees the same reservations. ErrNotFound when there is no key in force.
func RotateKey(ctx context.Context, db *sqldb.DB, nameOrID string, overlap time.Duration) (secret string, until time.Time, err error) {
	secret, hash := newKey()
	where, arg := keyNamed(nameOrID)
	var n int64
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		until = now.Add(max(overlap, 0))
		n, err = tx.Exec(ctx, `UPDATE api_key SET previous_hash = hash, previous_until = ?, hash = ?
			WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) AND `+where, sqldb.At(until), hash[:], sqldb.At(now), arg)
		return err
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("rotate the API key: %w", err)
	}
	if n == 0 {
		return "", time.Time{}, ErrNotFound
	}
	return secret, until, nil
}

// ListKeys returns all keys, oldest first, those that have ended too, and the database's time by which they stand.
func ListKeys(ctx context.Context, db *sqldb.DB) ([]KeyInfo, time.Time, error) {
	var rows []struct {
		ID       string      `db:"id"`
		Name     string      `db:"name"`
		Scopes   string      `db:"scopes"`
		Rate     int         `db:"rate"`
		Created  sqldb.Time  `db:"created_at"`
		Expires  *sqldb.Time `db:"expires_at"`
		LastUsed *sqldb.Time `db:"last_used_at"`
		Until    *sqldb.Time `db:"previous_until"`
		Revoked  *sqldb.Time `db:"revoked_at"`
	}
	var now time.Time
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		rows = nil
		if now, err = tx.Now(ctx); err != nil {
			return err
		}
		return tx.Select(ctx, &rows, `SELECT id, name, scopes, rate, created_at, expires_at, last_used_at, previous_until, revoked_at
			FROM api_key ORDER BY created_at, id`)
	})
	if err != nil {
		return nil, now, fmt.Errorf("list API keys: %w", err)
	}
	at := func(t *sqldb.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.Time
	}
	keys := make([]KeyInfo, len(rows))
	for i, r := range rows {
		keys[i] = KeyInfo{ID: r.ID, Name: r.Name, Scopes: strings.Fields(r.Scopes), Rate: r.Rate, CreatedAt: r.Created.Time,
			ExpiresAt: at(r.Expires), LastUsedAt: at(r.LastUsed), PreviousUntil: at(r.Until), RevokedAt: at(r.Revoked)}
	}
	return keys, now, nil
}

// RevokeKey ends a key, found by its name or id, and the one before it, within a second everywhere. ErrNotFound when there is
// none in force.
func RevokeKey(ctx context.Context, db *sqldb.DB, nameOrID string) error {
	where, arg := keyNamed(nameOrID)
	var n int64
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		n, err = tx.Exec(ctx, "UPDATE api_key SET revoked_at = ? WHERE revoked_at IS NULL AND "+where, sqldb.At(now), arg)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke the API key: %w", err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// keyNamed is the condition for a key of that name or id.
func keyNamed(nameOrID string) (where string, arg any) {
	if id, ok := parseID(nameOrID); ok {
		return "id = ?", id
	}
	return "name = ?", nameOrID
}
