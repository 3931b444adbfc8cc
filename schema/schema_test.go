package schema_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ansim/schema"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// shape is what both databases must have alike: of each table its columns, with "null" behind those that may be NULL, and its
// unique keys, with "pk:" before the primary one and "where …" behind a partial one.
type shape map[string]*table

type table struct {
	Columns []string
	Keys    []string
	Foreign []string
	Indexes []string // that are not unique
}

func (s shape) of(name string) *table {
	if s[name] == nil {
		s[name] = &table{}
	}
	return s[name]
}

// own are tables of the migration itself, and columns and indexes that only one database needs.
func ignored(name string) bool {
	return name == "goose_db_version" || name == "migration_lock" || strings.HasPrefix(name, "sqlite_")
}

func selectAll(t *testing.T, db *sqldb.DB, dest any, query string, args ...any) {
	t.Helper()
	err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return tx.Select(ctx, dest, query, args...) })
	if err != nil {
		t.Fatal(err)
	}
}

func shapeOfPostgres(t *testing.T, db *sqldb.DB) shape {
	t.Helper()
	s := shape{}
	var cols []struct {
		Table    string `db:"table_name"`
		Column   string `db:"column_name"`
		Nullable string `db:"is_nullable"`
	}
	selectAll(t, db, &cols, `SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'public'`)
	for _, c := range cols {
		if !ignored(c.Table) {
			s.of(c.Table).addColumn(c.Column, c.Nullable == "YES")
		}
	}
	var keys []struct {
		Table     string  `db:"tab"`
		Columns   string  `db:"cols"`
		Unique    bool    `db:"is_unique"`
		Primary   bool    `db:"is_primary"`
		Predicate *string `db:"predicate"`
	}
	selectAll(t, db, &keys, `SELECT c.relname AS tab, i.indisunique AS is_unique, i.indisprimary AS is_primary,
			pg_get_expr(i.indpred, i.indrelid) AS predicate,
			(SELECT string_agg(pg_get_indexdef(i.indexrelid, n, true), ',' ORDER BY n) FROM generate_series(1, i.indnkeyatts) n) AS cols
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace ns ON ns.oid = c.relnamespace
		WHERE ns.nspname = 'public'`)
	for _, k := range keys {
		if !ignored(k.Table) {
			s.of(k.Table).addIndex(k.Columns, k.Unique, k.Primary, k.Predicate != nil)
		}
	}
	var refs []struct {
		Table string `db:"tab"`
		Other string `db:"other"`
		Cols  string `db:"cols"`
	}
	selectAll(t, db, &refs, `SELECT c.relname AS tab, o.relname AS other, (SELECT string_agg(a.attname, ',' ORDER BY n.ord)
			FROM unnest(k.conkey) WITH ORDINALITY n (num, ord) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.num) AS cols
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class o ON o.oid = k.confrelid WHERE k.contype = 'f'`)
	for _, r := range refs {
		s.of(r.Table).Foreign = append(s.of(r.Table).Foreign, r.Cols+" -> "+r.Other)
	}
	return s.sorted()
}

func shapeOfSQLite(t *testing.T, db *sqldb.DB) shape {
	t.Helper()
	s := shape{}
	var names []string
	selectAll(t, db, &names, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	for _, name := range names {
		if ignored(name) {
			continue
		}
		tab := s.of(name)
		var cols []struct {
			Name    string `db:"name"`
			NotNull bool   `db:"notnull"`
			PK      int    `db:"pk"`
		}
		selectAll(t, db, &cols, `SELECT name, "notnull", pk FROM pragma_table_info(?) ORDER BY pk`, name)
		var pk []string
		for _, c := range cols {
			rowid := c.PK > 0 && !c.NotNull // an integer primary key cannot be NULL, though the pragma does not say so
			tab.addColumn(c.Name, !c.NotNull && !rowid)
			if c.PK > 0 {
				pk = append(pk, c.Name)
			}
		}
		tab.addIndex(strings.Join(pk, ","), true, true, false)
		var idx []struct {
			Name    string `db:"name"`
			Unique  bool   `db:"unique"`
			Origin  string `db:"origin"`
			Partial bool   `db:"partial"`
		}
		selectAll(t, db, &idx, `SELECT name, "unique", origin, partial FROM pragma_index_list(?)`, name)
		for _, i := range idx {
			var on []string
			selectAll(t, db, &on, `SELECT name FROM pragma_index_info(?) ORDER BY seqno`, i.Name)
			if i.Origin != "pk" {
				tab.addIndex(strings.Join(on, ","), i.Unique, false, i.Partial)
			}
		}
		var refs []struct {
			ID    int    `db:"id"`
			Other string `db:"table"`
			From  string `db:"from"`
		}
		selectAll(t, db, &refs, `SELECT id, "table", "from" FROM pragma_foreign_key_list(?) ORDER BY id, seq`, name)
		byID := map[int]string{}
		other := map[int]string{}
		for _, r := range refs {
			byID[r.ID] = strings.TrimPrefix(byID[r.ID]+","+r.From, ",")
			other[r.ID] = r.Other
		}
		for id, from := range byID {
			tab.Foreign = append(tab.Foreign, from+" -> "+other[id])
		}
	}
	return s.sorted()
}

func (tab *table) addColumn(name string, nullable bool) {
	if nullable {
		name += " null"
	}
	tab.Columns = append(tab.Columns, name)
}

func (tab *table) addIndex(on string, unique, primary, partial bool) {
	if partial {
		on += " where"
	}
	switch {
	case primary:
		tab.Keys = append(tab.Keys, "pk:"+on)
	case unique:
		tab.Keys = append(tab.Keys, on)
	default:
		tab.Indexes = append(tab.Indexes, on)
	}
}

func (s shape) sorted() shape {
	for tab := range maps.Values(s) {
		sort.Strings(tab.Columns)
		sort.Strings(tab.Keys)
		sort.Strings(tab.Foreign)
		sort.Strings(tab.Indexes)
	}
	return s
}

func TestBothDatabasesHaveTheSameTables(t *testing.T) {
	t.Parallel()
	pg, lite := shapeOfPostgres(t, dbtest.Postgres(t, sqldb.Options{})), shapeOfSQLite(t, dbtest.SQLite(t, sqldb.Options{}))
	if len(pg) < 10 {
		t.Fatalf("PostgreSQL has only %d tables", len(pg))
	}
	// What only PostgreSQL's cursor needs; see package outbox.
	out := pg["outbox"]
	if !slices.Contains(out.Columns, "txid") || !slices.Contains(out.Indexes, "txid,id") {
		t.Errorf("the outbox has no txid: %v", out)
	}
	out.Columns = slices.DeleteFunc(out.Columns, func(c string) bool { return c == "txid" })
	out.Indexes = slices.DeleteFunc(out.Indexes, func(i string) bool { return i == "txid,id" })
	// What PostgreSQL does without, since there it costs locks; see 00003 and 00006.
	for name, unchecked := range map[string][]string{
		"reservation": {"api_key_id -> api_key", "programme_id -> programme", "slot_id -> slot"},
		"attempt":     {"message_id -> message"},
		"receipt":     {"attempt_token -> attempt"},
	} {
		if held := lite[name]; !slices.Equal(held.Foreign, unchecked) || len(pg[name].Foreign) > 0 {
			t.Errorf("foreign keys of %s: %v on SQLite, %v on PostgreSQL", name, held.Foreign, pg[name].Foreign)
		}
		lite[name].Foreign = nil
	}
	// What SQLite keeps, see 00014.
	held := lite["attempt"]
	if !slices.Contains(held.Keys, "provider_sid") {
		t.Errorf("the keys of attempt on SQLite: %v", held.Keys)
	}
	held.Keys = slices.DeleteFunc(held.Keys, func(k string) bool { return k == "provider_sid" })
	if diff := cmp.Diff(pg, lite, cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		t.Errorf("the tables differ (-PostgreSQL +SQLite):\n%s", diff)
	}
}

// fresh gives each of n processes a handle of its own on one database without tables.
func fresh(t *testing.T, n int, fn func(t *testing.T, dbs []*sqldb.DB)) {
	t.Helper()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + filepath.Join(t.TempDir(), "ansim.db")
			if name == "postgres" {
				url = dbtest.PostgresURL(t)
			}
			dbs := make([]*sqldb.DB, n)
			var all sync.WaitGroup
			for i := range dbs {
				all.Go(func() {
					db, err := sqldb.Open(t.Context(), url, sqldb.Options{Writers: 1})
					if err != nil {
						t.Errorf("open %d: %v", i, err)
						return
					}
					t.Cleanup(func() { _ = db.Close() })
					dbs[i] = db
				})
			}
			all.Wait()
			if !t.Failed() {
				fn(t, dbs)
			}
		})
	}
}

func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	fresh(t, 4, func(t *testing.T, dbs []*sqldb.DB) {
		ran := make([][]string, len(dbs))
		var all sync.WaitGroup
		for i, db := range dbs {
			all.Go(func() {
				var err error
				if ran[i], err = schema.Migrate(t.Context(), db, false); err != nil {
					t.Errorf("process %d: %v", i, err)
				}
				if err := schema.Check(t.Context(), db); err != nil {
					t.Errorf("process %d: %v", i, err)
				}
			})
		}
		all.Wait()
		migrated := 0
		for _, names := range ran {
			if len(names) > 0 {
				migrated++
			}
		}
		if migrated != 1 {
			t.Errorf("%d of the processes migrated: %v", migrated, ran)
		}
		if again, err := schema.Migrate(t.Context(), dbs[0], false); err != nil || len(again) != 0 {
			t.Errorf("once more: %v, %v", again, err)
		}
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	fresh(t, 1, func(t *testing.T, dbs []*sqldb.DB) {
		db := dbs[0]
		tables := func() (n int) {
			query := `SELECT COUNT(*) FROM sqlite_master`
			if db.Dialect() == sqldb.Postgres {
				query = `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'`
			}
			if err := db.Pool().Get(&n, query); err != nil {
				t.Fatal(err)
			}
			return n
		}
		would, err := schema.Migrate(t.Context(), db, true)
		if err != nil || len(would) == 0 || tables() != 0 {
			t.Fatalf("it would run %v, %v; there are %d tables", would, err, tables())
		}
		did, err := schema.Migrate(t.Context(), db, false)
		if err != nil || !slices.Equal(did, would) || tables() == 0 {
			t.Errorf("the dry run said %v, then ran %v, %v", would, did, err)
		}
		if would, err = schema.Migrate(t.Context(), db, true); err != nil || len(would) != 0 {
			t.Errorf("afterwards it would run %v, %v", would, err)
		}
	})
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	fresh(t, 1, func(t *testing.T, dbs []*sqldb.DB) {
		db := dbs[0]
		expect := func(sentence string) {
			t.Helper()
			err := schema.Check(t.Context(), db)
			if sentence == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, schema.ErrVersion) || !strings.Contains(err.Error(), sentence) {
				t.Errorf("the error is %v, want %q", err, sentence)
			}
		}
		set := func(statement string) {
			t.Helper()
			if _, err := db.Pool().Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		expect("no tables yet; run `ansim migrate`")
		if _, err := schema.Migrate(t.Context(), db, false); err != nil {
			t.Fatal(err)
		}
		expect("")
		set(`UPDATE goose_db_version SET version_id = 999 WHERE version_id = 1`)
		expect("newer than this program's")
		set(`DELETE FROM goose_db_version WHERE version_id <> 0`)
		expect("it is at version 0, this program needs")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := schema.Check(ctx, db); err == nil || errors.Is(err, schema.ErrVersion) {
			t.Errorf("a caller who left is told %v", err)
		}
	})
}

func TestCheckOfALostDatabaseDoesNotBlameItsTables(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := schema.Check(t.Context(), db); err == nil || errors.Is(err, schema.ErrVersion) {
			t.Errorf("the error is %v", err)
		}
	})
}
