package booking

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"ansim/schema/sqldb"
)

// Identities hashes residents' identities with a key of this installation. The hash is the same for every API key, so that
// one person is one person whichever client books.
type Identities struct{ key []byte }

// OpenIdentities derives the key from the installation's secret of 32 bytes. The first call on a database stores a check
// value of the secret; later calls with another secret fail with ErrOtherSecret.
func OpenIdentities(ctx context.Context, db *sqldb.DB, secret []byte) (*Identities, error) {
	if len(secret) != 32 {
		return nil, ErrSecret
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "ansim booking identity 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the identity key: %w", err)
	}
	check, err := hkdf.Key(sha256.New, secret, nil, "ansim installation check 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the check value: %w", err)
	}
	var stored []byte
	err = db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO installation (id, secret_check, created_at) VALUES (1, ?, ?)
			ON CONFLICT (id) DO NOTHING`, check, sqldb.At(now)); err != nil {
			return err
		}
		return tx.Get(ctx, &stored, "SELECT secret_check FROM installation WHERE id = 1")
	})
	if err != nil {
		return nil, fmt.Errorf("check the secret against the database: %w", err)
	}
	if !hmac.Equal(stored, check) {
		return nil, ErrOtherSecret
	}
	return &Identities{key: key}, nil
}

// hash is what stands for identity in the database.
func (i *Identities) hash(identity string) []byte {
	m := hmac.New(sha256.New, i.key)
	m.Write([]byte(identity))
	return m.Sum(nil)
}
