package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func newCounters(t *testing.T, db *sqldb.DB) {
	t.Helper()
	ddl(t, db, `CREATE TABLE counter (id integer NOT NULL PRIMARY KEY, n integer NOT NULL)`)
	if _, err := db.Pool().Exec(`INSERT INTO counter (id, n) VALUES (1, 0), (2, 0)`); err != nil {
		t.Fatal(err)
	}
}

func raise(ctx context.Context, tx *sqldb.Tx, id int) error {
	_, err := tx.Exec(ctx, `UPDATE counter SET n = n + 1 WHERE id = ?`, id)
	return err
}

func counters(t *testing.T, db *sqldb.DB) (got [2]int) {
	t.Helper()
	err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		var ns []int
		err := tx.Select(ctx, &ns, `SELECT n FROM counter ORDER BY id`)
		copy(got[:], ns)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWriteCommitsOrChangesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		newCounters(t, db)
		no := errors.New("no")
		runs := 0
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			runs++
			if err := raise(ctx, tx, 1); err != nil {
				return err
			}
			return no
		})
		if !errors.Is(err, no) || runs != 1 || counters(t, db) != [2]int{0, 0} {
			t.Errorf("after an error: %v, %d runs, %v", err, runs, counters(t, db))
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_ = raise(ctx, tx, 1)
				panic("no")
			})
		}()
		if counters(t, db) != [2]int{0, 0} {
			t.Errorf("after a panic: %v", counters(t, db))
		}
		// The connection of neither is left in a transaction.
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return raise(ctx, tx, 2) }); err != nil {
			t.Fatal(err)
		}
		if counters(t, db) != [2]int{0, 1} {
			t.Errorf("after a commit: %v", counters(t, db))
		}
	})
}

// A caller who leaves before COMMIT knows that nothing happened.
func TestWriteWhoseCallerLeftIsNotUnknown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		newCounters(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			err := raise(ctx, tx, 1)
			cancel()
			return err
		})
		if err == nil || errors.Is(err, sqldb.ErrCommitUnknown) {
			t.Errorf("the error is %v", err)
		}
		if counters(t, db) != [2]int{0, 0} {
			t.Errorf("it was committed: %v", counters(t, db))
		}
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return raise(ctx, tx, 1) }); err != nil {
			t.Errorf("the next write: %v", err)
		}
	})
}

func TestWriteRunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	newCounters(t, db)
	var mu sync.Mutex
	runs := 0
	var both, all sync.WaitGroup
	both.Add(2)
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		all.Go(func() {
			first := true
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				mu.Lock()
				runs++
				mu.Unlock()
				if err := raise(ctx, tx, order[0]); err != nil {
					return err
				}
				if first {
					first = false
					both.Done()
					both.Wait() // each holds what the other wants
				}
				return raise(ctx, tx, order[1])
			})
			if err != nil {
				t.Errorf("order %v: %v", order, err)
			}
		})
	}
	all.Wait()
	if runs < 3 {
		t.Errorf("the functions ran %d times: there was no deadlock", runs)
	}
	if got := counters(t, db); got != [2]int{2, 2} {
		t.Errorf("the counters are %v", got)
	}
}

// contention makes an error of the database's own that says that others are at work.
func contention(t *testing.T, db *sqldb.DB) func(ctx context.Context, tx *sqldb.Tx) error {
	t.Helper()
	if db.Dialect() == sqldb.Postgres {
		return func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `DO $$ BEGIN RAISE EXCEPTION 'serialization' USING ERRCODE = '40001'; END $$`)
			return err
		}
	}
	impatient, err := sqlx.Open("sqlite", "file:"+db.Path()+"?_txlock=immediate&_pragma=busy_timeout(0)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = impatient.Close() })
	return func(ctx context.Context, _ *sqldb.Tx) error { // the transaction around it holds the lock
		tx, err := impatient.BeginTxx(ctx, nil)
		if err == nil {
			_ = tx.Rollback()
		}
		return err
	}
}

func TestWriteRunsAgainSevenTimesAtMost(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		newCounters(t, db)
		fail := contention(t, db)
		runs := 0
		try := func(failures int) error {
			runs = 0
			return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := raise(ctx, tx, 1); err != nil {
					return err
				}
				if runs++; runs <= failures {
					return fail(ctx, tx)
				}
				return nil
			})
		}
		if err := try(7); err != nil || runs != 8 {
			t.Errorf("with seven failures it ran %d times and ended with %v", runs, err)
		}
		if err := try(100); err == nil || runs != 8 {
			t.Errorf("with endless failures it ran %d times and ended with %v", runs, err)
		}
		if got := counters(t, db); got != [2]int{1, 0} {
			t.Errorf("the counters are %v: a failed run left something", got)
		}
	})
}

// Two handles, as of two processes, on one file: each waits for the other and nothing is lost.
func TestSQLiteWritersOfTwoProcessesWait(t *testing.T) {
	t.Parallel()
	path := "sqlite:" + filepath.Join(t.TempDir(), "ansim.db")
	var dbs [2]*sqldb.DB
	for i := range dbs {
		db, err := sqldb.Open(t.Context(), path, sqldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		dbs[i] = db
	}
	newCounters(t, dbs[0])
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 25 {
				err := dbs[i%2].Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					var n int
					if err := tx.Get(ctx, &n, `SELECT n FROM counter WHERE id = 1`+tx.ForUpdate()); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, `UPDATE counter SET n = ? WHERE id = 1`, n+1)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if got := counters(t, dbs[1]); got[0] != 200 {
		t.Errorf("of 200 changes %d are there", got[0])
	}
}

func TestReadIsOneSnapshotAndCannotWrite(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		newCounters(t, db)
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			var seen [2]int
			for i := range seen {
				if err := tx.Get(ctx, &seen[i], `SELECT n FROM counter WHERE id = 1`); err != nil {
					return err
				}
				if err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return raise(ctx, tx, 1) }); err != nil {
					return err
				}
			}
			if seen != [2]int{0, 0} {
				t.Errorf("one transaction read %v", seen)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := counters(t, db); got != [2]int{2, 0} {
			t.Errorf("later reads see %v", got)
		}
		for _, statement := range []string{`UPDATE counter SET n = 9`, `DELETE FROM counter`, `CREATE TABLE other (id integer)`} {
			err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { _, err := tx.Exec(ctx, statement); return err })
			if err == nil {
				t.Errorf("a read transaction could %s", statement)
			}
		}
		var n int
		err = db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Get(ctx, &n, `SELECT n FROM counter WHERE id = ?`, 99)
		})
		if !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("no row is %v", err)
		}
	})
}

func TestErrorsAreToldApart(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ddl(t, db, `CREATE TABLE r (id integer NOT NULL PRIMARY KEY, u text NOT NULL UNIQUE, c integer CHECK (c > 0))`)
		ddl(t, db, `CREATE TABLE child (id integer NOT NULL PRIMARY KEY REFERENCES r (id) DEFERRABLE INITIALLY DEFERRED)`)
		if _, err := db.Pool().Exec(`INSERT INTO r (id, u) VALUES (1, 'a')`); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, statement          string
			unique, refused, noTable bool
		}{
			{"unique", `INSERT INTO r (id, u) VALUES (2, 'a')`, true, true, false},
			{"primary key", `INSERT INTO r (id, u) VALUES (1, 'b')`, true, true, false},
			{"check", `INSERT INTO r (id, u, c) VALUES (3, 'c', 0)`, false, true, false},
			{"not null", `INSERT INTO r (id, u) VALUES (4, NULL)`, false, true, false},
			{"not a number", `INSERT INTO r (id, u, c) SELECT 5, 'e', CAST(u AS integer) * 0 FROM r`, false, true, false},
			{"foreign key, at COMMIT", `INSERT INTO child (id) VALUES (77)`, false, true, false},
			{"no such table", `INSERT INTO absent (id) VALUES (1)`, false, false, true},
		} {
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { _, err := tx.Exec(ctx, c.statement); return err })
			if err == nil {
				t.Errorf("%s: no error", c.name)
				continue
			}
			if sqldb.IsUnique(err) != c.unique || sqldb.IsRefusedData(err) != c.refused || sqldb.IsNoTable(err) != c.noTable ||
				errors.Is(err, sqldb.ErrCommitUnknown) {
				t.Errorf("%s: unique %v, refused data %v, no table %v: %v", c.name, sqldb.IsUnique(err), sqldb.IsRefusedData(err),
					sqldb.IsNoTable(err), err)
			}
		}
		for _, err := range []error{nil, errors.New("other"), context.Canceled, sql.ErrNoRows} {
			if sqldb.IsUnique(err) || sqldb.IsRefusedData(err) || sqldb.IsNoTable(err) {
				t.Errorf("%v is taken for the database's", err)
			}
		}
		// The one connection that writes is not stuck in the transaction that COMMIT refused.
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO r (id, u) VALUES (9, 'z')`)
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestNULIsRefusedDataOnPostgreSQL(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	ddl(t, db, `CREATE TABLE r (s text)`)
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO r (s) VALUES (?)`, "a\x00b")
		return err
	})
	if !sqldb.IsRefusedData(err) {
		t.Errorf("the error is %v", err)
	}
}
