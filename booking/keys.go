package booking

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"ansim/schema/sqldb"
)

const (
	keyPrefix = "ansim_"
	// keyCacheFor is how long an accepted key is believed without asking again: a revoked key works no longer than this.
	keyCacheFor = time.Second
	// defaultScopes are those of a new key.
	defaultScopes = "book read resend"
)

// KeyInfo is what is known of an API key. The key itself is stored nowhere.
type KeyInfo struct {
	ID        string
	Name      string
	Scopes    []string
	CreatedAt time.Time
	RevokedAt time.Time // zero: in force
}

// Keys authenticates clients.
type Keys struct {
	db    *sqldb.DB
	now   func() time.Time
	group singleflight.Group // thousands of requests ask for the same key when its second is over; one reads
	mu    sync.RWMutex
	known map[[sha256.Size]byte]knownKey
}

type knownKey struct {
	client Client
	asked  time.Time
}

// NewKeys makes the authenticator of the API keys in db.
func NewKeys(db *sqldb.DB) *Keys {
	return &Keys{db: db, now: time.Now, known: map[[sha256.Size]byte]knownKey{}}
}

// Authenticate returns the client of an API key, ErrUnauthorized when there is none or it is revoked. Keys are found by
// their SHA-256; they have 256 bits from crypto/rand, so no slower hash is needed. An answer may be one second old.
func (k *Keys) Authenticate(ctx context.Context, bearer string) (Client, error) {
	if !strings.HasPrefix(bearer, keyPrefix) || len(bearer) != len(keyPrefix)+64 {
		return Client{}, ErrUnauthorized
	}
	hash := sha256.Sum256([]byte(bearer))
	k.mu.RLock()
	c, ok := k.known[hash]
	k.mu.RUnlock()
	if age := k.now().Sub(c.asked); ok && age >= 0 && age < keyCacheFor {
		return c.client, nil
	}
	ch := k.group.DoChan(string(hash[:]), func() (any, error) {
		// One caller's hanging up must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return k.read(ctx, hash)
	})
	select {
	case <-ctx.Done():
		return Client{}, ctx.Err()
	case r := <-ch:
		if r.Err != nil {
			return Client{}, r.Err
		}
		return r.Val.(Client), nil
	}
}

func (k *Keys) read(ctx context.Context, hash [sha256.Size]byte) (Client, error) {
	asked := k.now()
	var row struct {
		ID     string `db:"id"`
		Name   string `db:"name"`
		Scopes string `db:"scopes"`
	}
	err := k.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &row, "SELECT id, name, scopes FROM api_key WHERE hash = ? AND revoked_at IS NULL", hash[:])
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		delete(k.known, hash)
		if errors.Is(err, sql.ErrNoRows) {
			return Client{}, ErrUnauthorized
		}
		return Client{}, fmt.Errorf("look up the API key: %w", err)
	}
	// Only keys that exist are kept, so strangers cannot fill the cache.
	c := Client{KeyID: row.ID, Name: row.Name, Scopes: strings.Fields(row.Scopes)}
	k.known[hash] = knownKey{client: c, asked: asked}
	return c, nil
}

// CreateKey makes an API key called name and returns it; it cannot be shown again. ErrKeyName when the name is taken.
func CreateKey(ctx context.Context, db *sqldb.DB, name string) (string, error) {
	name, ok := line(name, 100)
	if !ok || name == "" {
		return "", ErrKeyName
	}
	var b [32]byte
	_, _ = rand.Read(b[:])
	secret := keyPrefix + hex.EncodeToString(b[:])
	hash := sha256.Sum256([]byte(secret))
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a key id: %w", err)
	}
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES (?, ?, ?, ?, ?)",
			id.String(), name, hash[:], defaultScopes, sqldb.At(now))
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

// ListKeys returns all keys, oldest first, revoked ones too.
func ListKeys(ctx context.Context, db *sqldb.DB) ([]KeyInfo, error) {
	var rows []struct {
		ID      string      `db:"id"`
		Name    string      `db:"name"`
		Scopes  string      `db:"scopes"`
		Created sqldb.Time  `db:"created_at"`
		Revoked *sqldb.Time `db:"revoked_at"`
	}
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, "SELECT id, name, scopes, created_at, revoked_at FROM api_key ORDER BY created_at, id")
	})
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	keys := make([]KeyInfo, len(rows))
	for i, r := range rows {
		keys[i] = KeyInfo{ID: r.ID, Name: r.Name, Scopes: strings.Fields(r.Scopes), CreatedAt: r.Created.Time}
		if r.Revoked != nil {
			keys[i].RevokedAt = r.Revoked.Time
		}
	}
	return keys, nil
}

// RevokeKey ends a key, found by its name or id, within a second everywhere. ErrNotFound when there is none in force.
func RevokeKey(ctx context.Context, db *sqldb.DB, nameOrID string) error {
	where, arg := "name = ?", nameOrID
	if id, ok := parseID(nameOrID); ok {
		where, arg = "id = ?", id
	}
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

// parseID reads a UUID in its usual form alone, in the case that both databases compare by.
func parseID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	id, err := uuid.Parse(s)
	return id.String(), err == nil
}
