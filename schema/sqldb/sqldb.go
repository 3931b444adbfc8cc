package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver named "sqlite"
)

// Dialect names the database behind a DB.
type Dialect string

// The two databases that ansim runs on.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

// ErrURL is what Open returns for a database URL that it cannot use; the message says which forms it takes.
var ErrURL = errors.New("unusable database URL")

// Options are the parts of Open that have sensible defaults.
type Options struct {
	// Writers is how many write transactions may run at once on PostgreSQL. Default 16, at least 2: a migration holds its
	// lock on one connection and works on another. SQLite has always one.
	Writers int
	// Readers is how many read transactions may run at once. Default 16. They never wait for writers.
	Readers int
	// Now replaces the clock that Tx.Now reads, for tests. Default: the database's own clock on PostgreSQL, the
	// machine's on SQLite, made never to go back (see clock).
	Now func() time.Time
	// ReadOnly opens for reading alone (`ansim check`): on SQLite with mode=ro, on PostgreSQL with transactions that
	// are READ ONLY.
	ReadOnly bool
}

// DB is ansim's database: a pool for writing and a pool for reading.
type DB struct {
	dialect  Dialect
	write    *sqlx.DB
	read     *sqlx.DB
	now      func() time.Time // of a test, or nil
	clock    *clock
	readOnly bool
	path     string
}

// Open opens the database that rawURL names: sqlite:PATH, or postgres://… as libpq has it. The SQLite file and its folder
// are made when missing. Errors wrap ErrURL when the URL is at fault, and carry no password.
func Open(ctx context.Context, rawURL string, opts Options) (*DB, error) {
	if opts.Writers <= 0 {
		opts.Writers = 16
	}
	opts.Writers = max(2, opts.Writers)
	if opts.Readers <= 0 {
		opts.Readers = 16
	}
	switch {
	case strings.HasPrefix(rawURL, "sqlite:"):
		return openSQLite(ctx, strings.TrimPrefix(rawURL, "sqlite:"), opts)
	case isPostgres(rawURL):
		return openPostgres(ctx, rawURL, opts)
	default:
		return nil, fmt.Errorf("%w: it must begin with sqlite: or postgres://", ErrURL)
	}
}

// idleInTransaction is how long a writing transaction may wait for its process's next statement before the server undoes it.
// A process that stands still (a frozen machine, a cable that was pulled) would otherwise hold its locks on slots and messages
// for as long as it does, and everybody who wants them waits. Ours follow each other at once.
const idleInTransaction = 10 * time.Second

// parsePostgres reads a URL, and what it leaves open from the environment (PGHOST and its like).
func parsePostgres(rawURL string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		// pgx's own text may hold the URL with its password.
		return nil, fmt.Errorf("%w: PostgreSQL does not understand it; the form is postgres://user@host:5432/name", ErrURL)
	}
	return cfg, nil
}

// Server is where a PostgreSQL server is asked for: Host is a name, an address, or the folder of a socket.
type Server struct {
	Host string
	Port uint16
}

// Servers are all that a PostgreSQL URL may lead to, the first one first. A URL need not name them where one would look for
// them: its host may be a parameter, or several, or left to the environment. Errors wrap ErrURL.
func Servers(rawURL string) ([]Server, error) {
	if !isPostgres(rawURL) {
		return nil, fmt.Errorf("%w: it must begin with postgres://", ErrURL)
	}
	cfg, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	out := []Server{{cfg.Host, cfg.Port}}
	for _, f := range cfg.Fallbacks {
		if s := (Server{f.Host, f.Port}); !slices.Contains(out, s) { // each stands there with and without TLS
			out = append(out, s)
		}
	}
	return out, nil
}

func isPostgres(rawURL string) bool {
	return strings.HasPrefix(rawURL, "postgres://") || strings.HasPrefix(rawURL, "postgresql://")
}

func openPostgres(ctx context.Context, rawURL string, opts Options) (*DB, error) {
	cfg, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "ansim"
	}
	if cfg.ConnectTimeout == 0 { // else a host that vanished is waited for as long as TCP does
		cfg.ConnectTimeout = 10 * time.Second
	}
	// Times travel as text and must not depend on the server's zone.
	cfg.RuntimeParams["timezone"] = "UTC"
	if opts.ReadOnly {
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
	}
	pool := func(n int, options ...stdlib.OptionOpenDB) *sqlx.DB {
		db := sqlx.NewDb(stdlib.OpenDB(*cfg, options...), "pgx")
		db.SetMaxOpenConns(n)
		db.SetMaxIdleConns(n)
		return db
	}
	// Said by statements and not in the start-up message, where poolers refuse what they do not know.
	writer := stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d; ", idleInTransaction.Milliseconds())+byKey)
		return err
	})
	db := &DB{dialect: Postgres, write: pool(opts.Writers, writer), read: pool(opts.Readers), now: opts.Now, readOnly: opts.ReadOnly}
	if err := db.read.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("connect to PostgreSQL at %s:%d: %w", cfg.Host, cfg.Port, plain(err))
	}
	return db, nil
}

// byKey makes the planner go by indexes alone wherever it can. Every statement of a transaction that writes looks its rows up
// by key, hundreds at a time, in tables that begin empty and grow for years: so the index is always right, and a plan that
// was made while a table was empty, or stands in a cache with unknown parameters, stays right. Planning each statement anew
// instead takes a fifth of the server's time. Not from the first run on, though (plan_cache_mode): of two indexes on an empty
// table either is as good, and a look for a person by the index of slots made bookings ten times as slow.
const byKey = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; " +
	"SET jit = off"

// plain takes the connection string, which pgx puts into its connect errors, out of err.
func plain(err error) error {
	var ce *pgconn.ConnectError
	if errors.As(err, &ce) {
		return errors.Unwrap(ce)
	}
	return err
}

func openSQLite(ctx context.Context, path string, opts Options) (*DB, error) {
	if path == "" || path == ":memory:" {
		return nil, fmt.Errorf("%w: sqlite: must be followed by the path of a file", ErrURL)
	}
	if !opts.ReadOnly {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
	}
	dsn := func(pragmas ...string) string {
		q := url.Values{}
		for _, p := range append([]string{"busy_timeout(10000)", "foreign_keys(ON)"}, pragmas...) {
			if p == "immediate" {
				q.Set("_txlock", "immediate")
				continue
			}
			q.Add("_pragma", p)
		}
		if opts.ReadOnly {
			q.Set("mode", "ro")
		}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	open := func(n int, dsn string) (*sqlx.DB, error) {
		db, err := sqlx.Open("sqlite", dsn)
		if err != nil {
			return nil, fmt.Errorf("open SQLite: %w", err)
		}
		db.SetMaxOpenConns(n)
		db.SetMaxIdleConns(n)
		return db, nil
	}
	db := &DB{dialect: SQLite, now: opts.Now, readOnly: opts.ReadOnly, path: path}
	if db.now == nil {
		db.clock = newClock()
	}
	var err error
	if !opts.ReadOnly {
		// One connection writes, and each of its transactions takes the write lock at once: a deferred transaction that
		// upgrades fails under contention, whatever busy_timeout says. FULL: a commit that was answered survives power
		// loss, which WAL with NORMAL does not promise.
		if db.write, err = open(1, dsn("journal_mode(WAL)", "synchronous(FULL)", "immediate")); err != nil {
			return nil, err
		}
		// Several processes that open a new file at once change it to WAL at once, which no busy_timeout makes them wait for.
		if err := db.retry(ctx, false, func() error { return db.write.PingContext(ctx) }); err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("open SQLite file %s: %w", path, err)
		}
	}
	if db.read, err = open(max(2, min(opts.Readers, 2*runtime.NumCPU())), dsn("query_only(ON)")); err != nil {
		_ = db.Close()
		return nil, err
	}
	if err := db.retry(ctx, false, func() error { return db.read.PingContext(ctx) }); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open SQLite file %s: %w", path, err)
	}
	if db.clock != nil {
		latest, err := remembered(ctx, db.read)
		if err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("open SQLite file %s: %w", path, err)
		}
		db.clock.goOn(latest)
	}
	return db, nil
}

// Dialect tells which database this is. Outside this package and schema only the outbox cursor may ask.
func (db *DB) Dialect() Dialect { return db.dialect }

// Path is the file behind a SQLite database, "" for PostgreSQL.
func (db *DB) Path() string { return db.path }

// Pool is the write pool, for migrations and for tests that look at the tables; nil for a SQLite file that was opened with
// ReadOnly.
func (db *DB) Pool() *sqlx.DB { return db.write }

// Readers is how many transactions can read at once.
func (db *DB) Readers() int { return db.read.Stats().MaxOpenConnections }

// Ping asks the database for an answer.
func (db *DB) Ping(ctx context.Context) error { return db.read.PingContext(ctx) }

// Close closes both pools. It waits for the transactions under way.
func (db *DB) Close() error {
	var errs []error
	for _, p := range []*sqlx.DB{db.write, db.read} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}
