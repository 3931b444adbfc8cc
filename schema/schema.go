// Package schema holds the tables of ansim for PostgreSQL and SQLite and brings a database up to them.
//
// Migrations are forward only. Both folders carry the same versions with the same tables, columns and unique keys, apart
// from the outbox's transaction id, which only PostgreSQL needs; a test compares them.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"ansim/schema/sqldb"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// ErrVersion is returned by Check when the database's tables are not those of this program.
var ErrVersion = errors.New("the database's schema does not fit this program")

// Migrate brings db up to this program's tables and returns the names of the migrations that it ran, or with dryRun would
// run. Several processes may call it at once: one migrates, the others wait and find nothing left to do.
func Migrate(ctx context.Context, db *sqldb.DB, dryRun bool) ([]string, error) {
	if dryRun {
		return pending(ctx, db)
	}
	if db.Pool() == nil {
		return nil, fmt.Errorf("migrate: %w", sqldb.ErrReadOnly)
	}
	p, err := provider(db)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("lock for migration: %w", err)
	}
	defer unlock()
	results, err := p.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var names []string
	for _, r := range results {
		names = append(names, r.Source.Path)
	}
	return names, nil
}

// Check returns an error that wraps ErrVersion unless db has exactly this program's tables. It writes nothing.
func Check(ctx context.Context, db *sqldb.DB) error {
	want, err := newest(db.Dialect())
	if err != nil {
		return err
	}
	have, err := version(ctx, db)
	switch {
	case sqldb.IsNoTable(err):
		return fmt.Errorf("%w: it has no tables yet; run `ansim migrate`", ErrVersion)
	case err != nil:
		return fmt.Errorf("read the schema's version: %w", err)
	case have < want:
		return fmt.Errorf("%w: it is at version %d, this program needs %d; run `ansim migrate`", ErrVersion, have, want)
	case have > want:
		return fmt.Errorf("%w: it is at version %d, newer than this program's %d; run the newer program", ErrVersion, have, want)
	}
	return nil
}

// version is the newest migration that ran on db.
func version(ctx context.Context, db *sqldb.DB) (v int64, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &v, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied")
	})
	return v, err
}

func newest(d sqldb.Dialect) (int64, error) {
	names, err := fs.Glob(files, string(d)+"/*.sql")
	if err != nil {
		return 0, err
	}
	return number(names[len(names)-1])
}

// number is the version that a migration's name begins with.
func number(name string) (int64, error) {
	v, err := goose.NumericComponent(path.Base(name))
	if err != nil {
		return 0, fmt.Errorf("read the embedded migrations: %w", err)
	}
	return v, nil
}

// pending lists the migrations that are newer than db. goose's own list makes its table first; this writes nothing.
func pending(ctx context.Context, db *sqldb.DB) ([]string, error) {
	have, err := version(ctx, db)
	if err != nil && !sqldb.IsNoTable(err) {
		return nil, fmt.Errorf("read the schema's version: %w", err)
	}
	all, err := fs.Glob(files, string(db.Dialect())+"/*.sql")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		v, err := number(name)
		if err != nil {
			return nil, err
		}
		if v > have {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

func provider(db *sqldb.DB) (*goose.Provider, error) {
	dialect := goose.DialectPostgres
	if db.Dialect() == sqldb.SQLite {
		dialect = goose.DialectSQLite3
	}
	sub, err := fs.Sub(files, string(db.Dialect()))
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(dialect, db.Pool().DB, sub)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// lock keeps other processes from migrating. On PostgreSQL it is a row lock: session advisory locks do not survive a
// connection pooler. On SQLite it is a file beside the database.
func lock(ctx context.Context, db *sqldb.DB) (unlock func(), err error) {
	if db.Dialect() == sqldb.SQLite {
		f := flock.New(db.Path() + ".migrate.lock")
		if _, err := f.TryLockContext(ctx, 20e6); err != nil { // asks every 20 ms
			return nil, err
		}
		return func() { _ = f.Close() }, nil
	}
	// The row that is locked. Two processes that create the table at once collide in the catalogue, IF NOT EXISTS or not, and
	// in which of its tables differs, and so the error; the loser finds the table on the next try.
	for range 3 {
		_, err = db.Pool().ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migration_lock (id integer PRIMARY KEY)`)
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := db.Pool().ExecContext(ctx, `INSERT INTO migration_lock (id) VALUES (1) ON CONFLICT DO NOTHING`); err != nil {
		return nil, err
	}
	tx, err := db.Pool().BeginTxx(ctx, &sql.TxOptions{})
	if err != nil {
		return nil, err
	}
	// The lock is held, and its transaction idle, for as long as the migrations take.
	for _, s := range []string{`SET LOCAL idle_in_transaction_session_timeout = 0`, `SELECT id FROM migration_lock WHERE id = 1 FOR UPDATE`} {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			_ = tx.Rollback()
			return nil, err
		}
	}
	return func() { _ = tx.Rollback() }, nil
}
