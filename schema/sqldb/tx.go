package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ansim/schema/sabotage"
)

// ErrCommitUnknown is returned when COMMIT itself failed in a way that does not tell whether it happened. The caller must
// find out from the data, or be built so that a repeat is harmless and use WriteIdempotent.
var ErrCommitUnknown = errors.New("the outcome of COMMIT is unknown")

// ErrReadOnly is what Write returns when the database was opened with ReadOnly.
var ErrReadOnly = errors.New("the database was opened read-only")

// errBegin marks a transaction that did not begin.
var errBegin = errors.New("begin")

// maxTries bounds how often a transaction function runs. Deadlocks and serialization failures pass within a few
// milliseconds; what fails eight times is not contention.
const maxTries = 8

// longest bounds a transaction: a server that vanished, or a lock that is held for ever, must not hold up a job, or a stop,
// for as long as TCP would.
const longest = 30 * time.Second

// Tx is a transaction. Its methods take ? for parameters.
type Tx struct {
	tx      *sqlx.Tx
	db      *DB
	nowOnce time.Time
	points  sabotage.Statements
	writes  bool
	// remembered says that the file's latest second was looked at.
	remembered bool
}

// Write runs fn in a transaction that may write and commits it when fn returns nil. It runs fn again, from the start, when
// the database reports a deadlock, a serialization failure or a busy file: fn may run more than once and must keep its
// results in variables that it resets. An error at COMMIT that leaves the outcome open is ErrCommitUnknown; after any other
// error nothing was changed.
func (db *DB) Write(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if db.readOnly {
		return ErrReadOnly
	}
	return db.retry(ctx, false, func() error { return db.run(ctx, db.write, nil, fn) })
}

// WriteIdempotent is Write for a function that finds its own earlier work when it runs again: it is repeated also after an
// unknown COMMIT.
func (db *DB) WriteIdempotent(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if db.readOnly {
		return ErrReadOnly
	}
	return db.retry(ctx, true, func() error { return db.run(ctx, db.write, nil, fn) })
}

// Read runs fn in a transaction that cannot write, on the read pool, seeing one snapshot throughout.
func (db *DB) Read(ctx context.Context, fn func(context.Context, *Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
	if db.dialect == SQLite { // a deferred transaction is one snapshot; the driver knows no levels
		opts = nil
	}
	return db.retry(ctx, false, func() error { return db.run(ctx, db.read, opts, fn) })
}

// Peek scans the one row of a query that needs no transaction around it, since a statement is one snapshot: one round trip
// instead of three, for what is asked many times a second. It must not write. sql.ErrNoRows when there is no row.
func (db *DB) Peek(ctx context.Context, dest any, query string, args ...any) error {
	return db.peek(ctx, func(ctx context.Context) error {
		return db.read.GetContext(ctx, dest, db.read.Rebind(query), args...)
	})
}

// Row is a row of an answer.
type Row interface {
	// Scan copies the columns, in their order, into dest.
	Scan(dest ...any) error
	// StructScan copies the columns into the fields of dest that have their names as tag db.
	StructScan(dest any) error
}

// PeekEach is Peek for any number of rows, which it passes to row one by one. An error of row ends it and is returned.
func (db *DB) PeekEach(ctx context.Context, row func(Row) error, query string, args ...any) error {
	return db.peek(ctx, func(ctx context.Context) error {
		rows, err := db.read.QueryxContext(ctx, db.read.Rebind(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(rows); err != nil {
				return fmt.Errorf("%w: %w", errRow, err)
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("%w: %w", errRow, err)
		}
		return nil
	})
}

// errRow marks an error behind the beginning of an answer.
var errRow = errors.New("read a row")

// peek runs a query outside of a transaction, in the time that a transaction may take, and again when a transaction would
// begin again.
func (db *DB) peek(ctx context.Context, once func(context.Context) error) error {
	return db.retry(ctx, false, func() error {
		ctx, cancel := db.bounded(ctx)
		defer cancel()
		err := once(ctx)
		var pg *pgconn.PgError
		switch {
		case err == nil || ctx.Err() != nil || errors.Is(err, sql.ErrNoRows) || errors.Is(err, errRow):
			return err
		case errors.As(err, &pg) && pg.Code == "57014": // query_canceled: it took too long, and would again
			return err
		}
		return fmt.Errorf("%w: %w", errBegin, plain(err))
	})
}

func (db *DB) retry(ctx context.Context, commitToo bool, once func() error) error {
	for try := 1; ; try++ {
		err := once()
		if err == nil || try == maxTries || ctx.Err() != nil {
			return err
		}
		if !retryable(err) && !(commitToo && errors.Is(err, ErrCommitUnknown)) {
			return err
		}
		wait := time.Duration(rand.Int64N(int64(time.Millisecond) << try))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func (db *DB) run(ctx context.Context, pool *sqlx.DB, opts *sql.TxOptions, fn func(context.Context, *Tx) error) error {
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	tx, err := pool.BeginTxx(ctx, opts)
	if err != nil {
		return fmt.Errorf("%w: %w", errBegin, plain(err))
	}
	done := false
	defer func() {
		if !done { // fn failed or panicked
			_ = tx.Rollback()
		}
	}()
	t := &Tx{tx: tx, db: db, writes: pool == db.write}
	if err := fn(ctx, t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // COMMIT would not be sent: the outcome is known
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	t.points.BeforeCommit()
	if err := tx.Commit(); err != nil {
		if retryable(err) || errors.Is(err, sql.ErrTxDone) || refused(err) {
			return fmt.Errorf("commit: %w", err)
		}
		return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	}
	t.points.AfterCommit()
	return nil
}

// bounded is ctx that ends when a transaction that begins now has taken too long.
func (db *DB) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if db.readOnly { // a whole-database check may take its time
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, longest)
}

// retryable says whether the transaction was undone only because of others at work, or never began: its connection had died
// while it lay in the pool, as all do when the server restarts, or the server is not back yet.
func retryable(err error) bool {
	if errors.Is(err, errRow) { // rows were passed on
		return false
	}
	if errors.Is(err, errBegin) && lost(err) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization_failure, deadlock_detected
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code() & 0xff
		return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
	}
	return false
}

// refused says whether the server answered COMMIT with an error of its own that undoes the transaction (a deferred
// constraint, a rollback), as against a connection that died. SQLite undoes what it cannot commit, except that what a failed
// write or fsync left in its log may count after a crash.
func refused(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return !lost(err)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code()&0xff != sqlite3.SQLITE_IOERR
	}
	return errors.Is(err, pgx.ErrTxCommitRollback)
}

// lost says whether err may mean that the connection to PostgreSQL is gone: classes 08 (connection) and 57 (the server ends
// it), or no answer of the server at all.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code[:2] == "08" || pg.Code[:2] == "57"
	}
	var lite *sqlite.Error
	return !errors.As(err, &lite)
}

// IsUnique says whether err is a violation of a unique constraint or index.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// IsRefusedData says whether the database refuses what a statement holds (a constraint, a value out of range), so that the
// same statement will never pass.
func IsRefusedData(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code[:2] == "22" || pg.Code[:2] == "23" // data exception, integrity constraint violation
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code() & 0xff
		return code == sqlite3.SQLITE_CONSTRAINT || code == sqlite3.SQLITE_MISMATCH || code == sqlite3.SQLITE_TOOBIG
	}
	return false
}

// IsNoTable says whether a statement named a table that the database does not have.
func IsNoTable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "42P01"
	}
	var lite *sqlite.Error // its code for this is that of all errors in a statement's text
	return errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_ERROR
}

// Exec runs a statement and returns how many rows it touched.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	t.points.Before(query)
	defer t.points.After()
	res, err := t.tx.ExecContext(ctx, t.tx.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Get scans the one row of query into dest; sql.ErrNoRows when there is none.
func (t *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	t.points.Before(query)
	defer t.points.After()
	return t.tx.GetContext(ctx, dest, t.tx.Rebind(query), args...)
}

// Select scans all rows of query into the slice that dest points to.
func (t *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	t.points.Before(query)
	defer t.points.After()
	return t.tx.SelectContext(ctx, dest, t.tx.Rebind(query), args...)
}

// Query streams the rows of query; the caller closes them.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	t.points.Before(query)
	defer t.points.After()
	return t.tx.QueryxContext(ctx, t.tx.Rebind(query), args...)
}

// Unplanned is an argument to put before the parameters of a query that must be planned for each run: a plan that was
// cached while a table was small stays bad. On SQLite, which plans each run, it is no argument at all.
func (t *Tx) Unplanned(args ...any) []any { return t.db.Unplanned(args...) }

// Unplanned is [Tx.Unplanned] for a query without a transaction.
func (db *DB) Unplanned(args ...any) []any {
	if db.dialect == Postgres {
		return append([]any{pgx.QueryExecModeExec}, args...)
	}
	return args
}

// Dialect tells which database this is; see DB.Dialect.
func (t *Tx) Dialect() Dialect { return t.db.dialect }

// Now is the time by which this transaction decides, read once: the database's clock on PostgreSQL, so that processes whose
// own clocks are wrong still agree on gates, leases and due times; the machine's on SQLite, which never goes back.
func (t *Tx) Now(ctx context.Context) (time.Time, error) {
	if !t.nowOnce.IsZero() {
		return t.nowOnce, nil
	}
	now, err := t.Later(ctx)
	t.nowOnce = now
	return now, err
}

// World is an expression that names the server and its history: a restored backup, a promoted standby and a copy on another
// server each have another one. On SQLite, where a file does not know that it was put back, it is always ”.
func (t *Tx) World() string {
	if t.db.dialect == SQLite {
		return "''"
	}
	// The file that is written to begins with the timeline, at once after a promotion; the last checkpoint's lags behind.
	return "((SELECT CAST(system_identifier AS text) FROM pg_control_system()) || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))"
}

// Later reads the clock of Now again: once the transaction holds its locks, it is the time by which what it writes comes before
// or after what others wrote under the same locks, however long it waited for them.
func (t *Tx) Later(ctx context.Context) (time.Time, error) {
	if t.db.now != nil {
		return At(t.db.now()).Time, nil
	}
	if t.db.clock != nil {
		now, err := t.lite(ctx)
		return At(now).Time, err
	}
	var now Time
	if err := t.tx.GetContext(ctx, &now, "SELECT clock_timestamp()"); err != nil {
		return time.Time{}, fmt.Errorf("read the database's clock: %w", err)
	}
	return now.Time, nil
}

// ForUpdate locks the rows of a SELECT until the transaction ends; to be put at its end, after ORDER BY. SQLite's write
// transactions are alone anyway.
func (t *Tx) ForUpdate() string { return t.lock(" FOR UPDATE") }

// ForUpdateSkipLocked is ForUpdate that leaves out what another transaction holds.
func (t *Tx) ForUpdateSkipLocked() string { return t.lock(" FOR UPDATE SKIP LOCKED") }

// ForUpdateSkipLockedOf is ForUpdateSkipLocked for the rows of one of the tables of a join.
func (t *Tx) ForUpdateSkipLockedOf(table string) string {
	return t.lock(" FOR UPDATE OF " + table + " SKIP LOCKED")
}

// ForShare keeps the rows of a SELECT from changing until the transaction ends.
func (t *Tx) ForShare() string { return t.lock(" FOR SHARE") }

func (t *Tx) lock(clause string) string {
	if t.db.dialect == Postgres {
		return clause
	}
	return ""
}
