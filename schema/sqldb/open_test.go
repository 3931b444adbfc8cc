package sqldb_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ansim/schema"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

const canary = "c4n4ry-p4ssw0rd"

func TestOpenNamesTheFaultAndNeverThePassword(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url    string
		badURL bool
	}{
		"empty":           {"", true},
		"no scheme":       {"ansim.db", true},
		"other scheme":    {"mysql://ansim:" + canary + "@localhost/ansim", true},
		"no path":         {"sqlite:", true},
		"memory":          {"sqlite::memory:", true},
		"bad port":        {"postgres://ansim:" + canary + "@localhost:port/ansim", true},
		"bad escape":      {"postgres://ansim:" + canary + "%zz@localhost/ansim", true},
		"bad option":      {"postgres://ansim:" + canary + "@localhost/ansim?sslmode=" + canary, true},
		"nobody listens":  {"postgres://ansim:" + canary + "@127.0.0.1:1/ansim", false},
		"no such host":    {"postgresql://ansim:" + canary + "@no-such-host.invalid:5432/ansim", false},
		"no such file":    {"postgres://ansim:" + canary + "@%2Fno%2Fsuch%2Ffolder/ansim", false},
		"many nobodies":   {"postgres://ansim:" + canary + "@127.0.0.1:1,127.0.0.1:2/ansim", false},
		"password option": {"postgres://127.0.0.1:1/ansim?password=" + canary, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sqldb.Open(t.Context(), c.url, sqldb.Options{})
			if err == nil {
				_ = db.Close()
				t.Fatal("it opened")
			}
			if errors.Is(err, sqldb.ErrURL) != c.badURL {
				t.Errorf("the URL is at fault: %v; the error is: %v", c.badURL, err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

func TestOpenSaysWhichDatabaseIsMissing(t *testing.T) {
	t.Parallel()
	url := dbtest.PostgresURL(t)
	_, err := sqldb.Open(t.Context(), strings.Replace(url, "/ansim_", "/absent_", 1), sqldb.Options{})
	if err == nil || !strings.Contains(err.Error(), "absent_") {
		t.Errorf("the error is: %v", err)
	}
}

func TestOpenSQLiteWhereItCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "file", "ansim.db")} {
		if db, err := sqldb.Open(t.Context(), "sqlite:"+path, sqldb.Options{}); err == nil {
			_ = db.Close()
			t.Errorf("%s opened", path)
		}
	}
	if db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(dir, "absent.db"), sqldb.Options{ReadOnly: true}); err == nil {
		_ = db.Close()
		t.Error("a file that does not exist opened for reading")
	}
}

func TestSQLiteFileIsTheOneThatWasNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "with space.db", "a?b#c.db", "100%25.db", "예약.db", "a&b=c.db"} {
		path := filepath.Join(t.TempDir(), "new", "folder", name)
		db, err := sqldb.Open(t.Context(), "sqlite:"+path, sqldb.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ddl(t, db, `CREATE TABLE r (n integer NOT NULL PRIMARY KEY)`)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Size() == 0 || db.Path() != path {
			t.Errorf("%s: the file is not there: %v", name, err)
		}
	}
}

// Handles, as of several processes, that open the same new file at the same moment.
func TestSQLiteFileIsMadeByManyAtOnce(t *testing.T) {
	t.Parallel()
	for range 50 {
		path := "sqlite:" + filepath.Join(t.TempDir(), "ansim.db")
		start := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				<-start
				db, err := sqldb.Open(t.Context(), path, sqldb.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = db.Close() })
			})
		}
		close(start)
		all.Wait()
	}
}

// What no kill of a process can show: that a commit which was answered is on the disk.
func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, sqldb.Options{})
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "10000"} {
		var got string
		if err := db.Pool().Get(&got, "PRAGMA "+pragma); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ansim.db")
	pg := dbtest.PostgresURL(t)
	for name, url := range map[string]string{"sqlite": "sqlite:" + path, "postgres": pg} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rw, err := sqldb.Open(t.Context(), url, sqldb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer rw.Close()
			if _, err := schema.Migrate(t.Context(), rw, false); err != nil {
				t.Fatal(err)
			}
			db, err := sqldb.Open(t.Context(), url, sqldb.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := schema.Check(t.Context(), db); err != nil {
				t.Errorf("check: %v", err)
			}
			ran := false
			insert := func(ctx context.Context, tx *sqldb.Tx) error {
				ran = true
				_, err := tx.Exec(ctx, `INSERT INTO sweeper (id, position, updated_at) VALUES (1, '', ?)`, sqldb.At(time.Now()))
				return err
			}
			for _, err := range []error{db.Write(t.Context(), insert), db.WriteIdempotent(t.Context(), insert)} {
				if !errors.Is(err, sqldb.ErrReadOnly) || ran {
					t.Errorf("write: ran %v, error %v", ran, err)
				}
			}
			if err := db.Read(t.Context(), insert); err == nil {
				t.Error("a row was inserted while reading")
			}
			if db.Pool() != nil {
				if _, err := db.Pool().Exec(`DELETE FROM sweeper`); err == nil {
					t.Error("the pool of a read-only database writes")
				}
			}
			if _, err := schema.Migrate(t.Context(), db, true); err != nil {
				t.Errorf("dry run: %v", err)
			}
			if _, err := schema.Migrate(t.Context(), db, false); err == nil {
				t.Error("a read-only database was migrated")
			}
			var n int
			err = rw.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return tx.Get(ctx, &n, `SELECT COUNT(*) FROM sweeper`) })
			if err != nil || n != 0 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
}

func TestNow(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			a, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			b, err := tx.Now(ctx)
			if a != b || a.Location() != time.UTC || a.Nanosecond()%1000 != 0 {
				t.Errorf("now is %s and then %s", a, b)
			}
			if d := time.Since(a).Abs(); d > time.Minute { // one machine
				t.Errorf("the database's clock is %s off", d)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	fixed := time.Date(2021, 7, 19, 20, 0, 0, 1, time.FixedZone("KST", 9*3600))
	dbtest.EachAt(t, fixed, func(t *testing.T, db *sqldb.DB, _ *dbtest.Clock) {
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			now, err := tx.Now(ctx)
			if now != sqldb.At(fixed).Time {
				t.Errorf("now is %s", now)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestTheDatabasesClockDecides: processes whose own clocks are wrong agree, since none of them is asked. The server's clock is made to
// stand far from ours by a function that stands before its own on the path.
func TestTheDatabasesClockDecides(t *testing.T) {
	t.Parallel()
	raw := dbtest.PostgresURL(t)
	set := func(statement string) {
		t.Helper()
		db, err := sqldb.Open(t.Context(), raw, sqldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, statement)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(`CREATE SCHEMA early`)
	set(`CREATE FUNCTION early.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2021-07-19 20:00:00+09' $$`)
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "early,public,pg_catalog")
	u.RawQuery = q.Encode()
	db, err := sqldb.Open(t.Context(), u.String(), sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if want := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC); !now.Equal(want) {
			t.Errorf("it is %s by us, and %s by the database", now, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
