// Package dbtest gives tests real, fresh, migrated databases: SQLite in a file, and PostgreSQL.
//
// PostgreSQL is the server of ANSIM_TEST_POSTGRES_URL (a superuser's URL), or else one that is started for the test process
// from the machine's own PostgreSQL binaries. Where there are none, tests skip loudly; with ANSIM_TEST_REQUIRE=1 they fail.
package dbtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ansim/schema"
	"ansim/schema/sqldb"
)

// Each runs fn as the subtests "sqlite" and "postgres", each on a fresh migrated database.
func Each(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	EachOpen(t, func(t *testing.T, open Open) { fn(t, open(t, sqldb.Options{})) })
}

// EachAt is Each with a clock of its own for each database: the two run beside each other, and on a clock that they
// shared one would move the time under the other.
func EachAt(t *testing.T, at time.Time, fn func(t *testing.T, db *sqldb.DB, c *Clock)) {
	t.Helper()
	EachOpen(t, func(t *testing.T, open Open) {
		c := NewClock(at)
		fn(t, open(t, sqldb.Options{Now: c.Now}), c)
	})
}

// Open makes a fresh migrated database: SQLite or Postgres.
type Open func(testing.TB, sqldb.Options) *sqldb.DB

// EachOpen is Each for what opens the database itself. What opening needs is made within fn, for each of the two.
func EachOpen(t *testing.T, fn func(t *testing.T, open Open)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, SQLite) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); fn(t, Postgres) })
}

// SQLite is a fresh migrated database in a file.
func SQLite(t testing.TB, opts sqldb.Options) *sqldb.DB {
	t.Helper()
	return open(t, "sqlite:"+filepath.Join(t.TempDir(), "ansim.db"), opts, true)
}

// Postgres is a fresh migrated database.
func Postgres(t testing.TB, opts sqldb.Options) *sqldb.DB {
	t.Helper()
	return open(t, freshDatabase(t, template(t)), opts, false)
}

// PostgresURL is the URL of a fresh database without tables.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return freshDatabase(t, "template0")
}

func open(t testing.TB, rawURL string, opts sqldb.Options, migrate bool) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), rawURL, opts)
	if err != nil {
		t.Fatalf("open a test database: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if migrate {
		if _, err := schema.Migrate(t.Context(), db, false); err != nil {
			t.Fatalf("migrate a test database: %v", err)
		}
	}
	return db
}

// Missing skips a test that needs something this machine does not have, or fails it when ANSIM_TEST_REQUIRE=1.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("ANSIM_TEST_REQUIRE") == "1" {
		t.Fatalf("ANSIM_TEST_REQUIRE=1, but %s", what)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s", what)
}

var (
	counter      atomic.Int64
	serverOnce   sync.Once
	serverURL    string
	serverErr    error
	templateOnce sync.Once
	templateName string
	templateErr  error
)

// server is the URL of the running server's database postgres.
func server(t testing.TB) string {
	t.Helper()
	serverOnce.Do(func() {
		if serverURL = os.Getenv("ANSIM_TEST_POSTGRES_URL"); serverURL == "" {
			serverURL, serverErr = startShared()
		}
	})
	if serverErr != nil {
		Missing(t, serverErr.Error())
	}
	return serverURL
}

// template is the name of a migrated database, from which others are copied: quicker than migrating each.
func template(t testing.TB) string {
	t.Helper()
	base := server(t)
	templateOnce.Do(func() {
		templateName = fmt.Sprintf("ansim_template_%d", os.Getpid())
		templateErr = func() error {
			ctx := context.Background()
			// One of an earlier process with our number may be there still.
			if err := admin(ctx, base, "DROP DATABASE IF EXISTS "+templateName+" WITH (FORCE)"); err != nil {
				return err
			}
			if err := admin(ctx, base, "CREATE DATABASE "+templateName+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
				return err
			}
			db, err := sqldb.Open(ctx, withName(base, templateName), sqldb.Options{})
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = schema.Migrate(ctx, db, false)
			return err
		}()
	})
	if templateErr != nil {
		t.Fatalf("make the template database: %v", templateErr)
	}
	return templateName
}

func freshDatabase(t testing.TB, from string) string {
	t.Helper()
	base := server(t)
	name := fmt.Sprintf("ansim_%d_%d", os.Getpid(), counter.Add(1))
	if err := admin(t.Context(), base, "CREATE DATABASE "+name+" TEMPLATE "+from+" ENCODING 'UTF8'"); err != nil {
		t.Fatalf("make a test database: %v", err)
	}
	t.Cleanup(func() {
		if err := admin(context.Background(), base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("drop a test database: %v", err)
		}
	})
	return withName(base, name)
}

// admin runs one statement on the server. Copying a template waits for others that copy it, one at a time.
func admin(ctx context.Context, base, statement string) error {
	adminMu.Lock()
	defer adminMu.Unlock()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

var adminMu sync.Mutex

func withName(base, name string) string {
	u, err := url.Parse(base)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		panic("dbtest: ANSIM_TEST_POSTGRES_URL must be a postgres:// URL")
	}
	u.Path = "/" + name
	return u.String()
}
