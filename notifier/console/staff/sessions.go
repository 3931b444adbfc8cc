package staff

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"ansim/schema/sqldb"
)

// The ends of a session, as OWASP's Session Management Cheat Sheet has them for what is of value: 15 to 30 minutes without a
// request, and a working day in all.
const (
	idle     = 30 * time.Minute
	absolute = 12 * time.Hour
)

// NewSessions makes the sessions of the console. The cookie is sent to the console alone, to no script, and with no request from
// another site; secure says that it goes over TLS only. What is stored is a hash of the token.
func NewSessions(db *sqldb.DB, secure bool) *scs.SessionManager {
	m := scs.New() // begins with a store in memory, whose one goroutine stays for as long as the process
	m.Store = store{db}
	m.HashTokenInStore = true
	m.IdleTimeout, m.Lifetime = idle, absolute
	m.Cookie.Name, m.Cookie.Path = "ansim_console", "/console"
	m.Cookie.HttpOnly, m.Cookie.Secure, m.Cookie.Persist = true, secure, false
	m.Cookie.SameSite = http.SameSiteStrictMode
	return m
}

// store implements scs.CtxStore on the table staff_session.
type store struct{ db *sqldb.DB }

// FindCtx implements scs.CtxStore.
func (s store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Get(ctx, &data, `SELECT data FROM staff_session WHERE token = ? AND expires_at > ?`, token, sqldb.At(now))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return data, err == nil, wrapped("read a session", err)
}

// CommitCtx implements scs.CtxStore. It also takes away what has expired.
func (s store) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM staff_session WHERE expires_at <= ?`, sqldb.At(now)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO staff_session (token, data, expires_at) VALUES (?, ?, ?)
			ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`, token, data, sqldb.At(expires))
		return err
	})
	return wrapped("store a session", err)
}

// DeleteCtx implements scs.CtxStore.
func (s store) DeleteCtx(ctx context.Context, token string) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM staff_session WHERE token = ?`, token)
		return err
	})
	return wrapped("end a session", err)
}

// Find implements scs.Store.
func (s store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s store) Commit(token string, data []byte, expires time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expires)
}

// Delete implements scs.Store.
func (s store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
