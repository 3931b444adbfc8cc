package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// cut is what a proxy does to the next COMMIT that passes.
type cut int32

const (
	nothing      cut = iota
	beforeCommit     // the connection ends and the server never sees it
	afterCommit      // the server carries it out, and the connection ends before its answer is passed on
)

// proxy stands between a client and PostgreSQL.
type proxy struct {
	server string
	next   atomic.Int32
	cuts   atomic.Int32
}

// newProxy is a proxy in front of the server of rawURL, and the URL that leads through it.
func newProxy(t *testing.T, rawURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	var swallow atomic.Bool
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || swallow.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit\x00")) {
			how := cut(p.next.Swap(int32(nothing)))
			if how != nothing {
				p.cuts.Add(1)
			}
			if how == beforeCommit {
				break
			}
			swallow.Store(how == afterCommit)
		}
		if _, err := io.Copy(server, bytes.NewReader(buf[:n])); err != nil {
			break
		}
		if swallow.Load() {
			<-answered
			break
		}
	}
	_ = server.Close()
	<-answered
}

func TestACommitWithoutAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		how  cut
		once int // what one Write leaves
	}{"cut before the server sees it": {beforeCommit, 0}, "cut before the client hears of it": {afterCommit, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := dbtest.PostgresURL(t)
			p, through := newProxy(t, direct)
			db, err := sqldb.Open(t.Context(), through, sqldb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			newCounters(t, db)
			runs := 0
			once := func(ctx context.Context, tx *sqldb.Tx) error { // finds its own earlier work
				runs++
				_, err := tx.Exec(ctx, `UPDATE counter SET n = 1 WHERE id = 2`)
				return err
			}

			p.next.Store(int32(c.how))
			err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				runs++
				return raise(ctx, tx, 1)
			})
			if !errors.Is(err, sqldb.ErrCommitUnknown) || runs != 1 {
				t.Errorf("Write ran %d times and ended with %v", runs, err)
			}
			if got := counters(t, db); got[0] != c.once {
				t.Errorf("the counter is %d, want %d", got[0], c.once)
			}

			runs = 0
			p.next.Store(int32(c.how))
			if err := db.WriteIdempotent(t.Context(), once); err != nil || runs != 2 {
				t.Errorf("WriteIdempotent ran %d times and ended with %v", runs, err)
			}
			if got := counters(t, db); got[1] != 1 || p.cuts.Load() != 2 {
				t.Errorf("the counter is %d after %d cuts", got[1], p.cuts.Load())
			}
		})
	}
}

// A server that ends the connection while it commits may have committed.
func TestACommitThatTheServerEndsIsUnknown(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	newCounters(t, db)
	for _, statement := range []string{
		`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON counter DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`,
	} {
		if _, err := db.Pool().Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return raise(ctx, tx, 1) })
	if !errors.Is(err, sqldb.ErrCommitUnknown) {
		t.Errorf("the error is %v", err)
	}
	if got := counters(t, db); got != [2]int{0, 0} {
		t.Errorf("the counters are %v", got)
	}
}

// All connections that lie in the pools are dead after a restart of the server; nobody is to notice.
func TestDeadConnectionsInThePoolAreReplaced(t *testing.T) {
	t.Parallel()
	for what, use := range map[string]func(context.Context, *sqldb.DB) error{
		"write": func(ctx context.Context, db *sqldb.DB) error {
			return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return raise(ctx, tx, 1) })
		},
		"read": func(ctx context.Context, db *sqldb.DB) error {
			return db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				var n int
				return tx.Get(ctx, &n, `SELECT n FROM counter WHERE id = 1`)
			})
		},
		"peek": func(ctx context.Context, db *sqldb.DB) error {
			var n int
			return db.Peek(ctx, &n, `SELECT n FROM counter WHERE id = 1`)
		},
		"peek each": func(ctx context.Context, db *sqldb.DB) error {
			var n []int
			err := db.PeekEach(ctx, func(row sqldb.Row) error {
				n = append(n, 0)
				return row.Scan(&n[len(n)-1])
			}, `SELECT n FROM counter ORDER BY id`)
			if err == nil && len(n) != 2 {
				return fmt.Errorf("%d rows", len(n))
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			rawURL := dbtest.PostgresURL(t)
			open := func() *sqldb.DB {
				db, err := sqldb.Open(t.Context(), rawURL, sqldb.Options{Writers: 3, Readers: 3})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				return db
			}
			db, other := open(), open()
			if err := other.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			newCounters(t, db)
			fill := func(run func(context.Context, func(context.Context, *sqldb.Tx) error) error) {
				var ready, all sync.WaitGroup
				ready.Add(3)
				for range 3 {
					all.Go(func() {
						err := run(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
							var one int
							err := tx.Get(ctx, &one, `SELECT 1`)
							ready.Done()
							ready.Wait() // so that each has a connection of its own
							return err
						})
						if err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
			}
			for range 2 { // pgx asks a connection whether it lives only when it was last handed out more than a second ago
				fill(db.Read)
				fill(db.Write)
			}
			var killed int
			err := other.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return tx.Get(ctx, &killed, `SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid, 10000) AS done FROM pg_stat_activity
					WHERE datname = current_database() AND pid <> pg_backend_pid()) k WHERE done`)
			})
			if err != nil || killed < 6 {
				t.Fatalf("%d connections were ended, %v", killed, err)
			}
			for range 8 {
				if err := use(t.Context(), db); err != nil {
					t.Error(err)
				}
			}
			want := [2]int{}
			if what == "write" {
				want[0] = 8
			}
			if got := counters(t, db); got != want {
				t.Errorf("the counters are %v", got)
			}
		})
	}
}

// A query that the server ends because it took too long would take too long again. The test ends it itself, which the server calls by
// the same name (query_canceled): a statement_timeout that is short enough to be waited for would, on a machine that stands still,
// hold for the connection's other statements as well.
func TestPeekThatTakesTooLongIsNotRepeated(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	ddl(t, db, `CREATE SEQUENCE tries`)
	ended := make(chan error, 1)
	go func() {
		var slept string
		ended <- db.Peek(t.Context(), &slept, `SELECT CAST(pg_sleep(3600 + tries.n) AS text) FROM (SELECT nextval('tries') AS n OFFSET 0) AS tries`)
	}()
	for again := true; again; {
		if _, err := db.Pool().Exec(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if again = false; err == nil {
				t.Error("no error")
			}
		default:
		}
	}
	var tries int
	if err := db.Pool().Get(&tries, `SELECT last_value FROM tries`); err != nil || tries != 1 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// What ends within an answer is the caller's: to begin anew would pass rows on twice.
func TestPeekEachPassesNoRowTwice(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		newCounters(t, db)
		busy := errors.New("no more")
		seen := 0
		err := db.PeekEach(t.Context(), func(sqldb.Row) error {
			if seen++; seen == 2 {
				return busy
			}
			return nil
		}, `SELECT n FROM counter ORDER BY id`)
		if !errors.Is(err, busy) || seen != 2 {
			t.Errorf("%d rows, %v", seen, err)
		}
	})
}
