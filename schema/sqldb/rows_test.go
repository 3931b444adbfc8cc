package sqldb_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// ddl makes the same table in both databases.
func ddl(t *testing.T, db *sqldb.DB, statement string) {
	t.Helper()
	if db.Dialect() == sqldb.SQLite {
		statement = strings.NewReplacer("uuid", "text", "bytea", "blob", "timestamptz", "text", "bigint", "integer").Replace(statement) +
			" STRICT"
	}
	if _, err := db.Pool().Exec(statement); err != nil {
		t.Fatal(err)
	}
}

type row struct {
	N  int         `db:"n"`
	S  *string     `db:"s"`
	B  []byte      `db:"b"`
	U  *string     `db:"u"`
	I  int64       `db:"i"`
	At *sqldb.Time `db:"at"`
}

// awkward are texts that an array's syntax could take for something else.
var awkward = []string{"", "plain", `"`, `\`, `\\`, `\"`, `{`, `}`, `{}`, `{a,b}`, ",", "NULL", "null", `"NULL"`, " ", "  lead and trail  ",
	"\n", "\r\n\t", "a'b", "''", "?", "$1", "%s", "홍길동", "é", "👩‍👩‍👧", "\u202eRTL", "\u0001", "--", ";", strings.Repeat("x", 10_000)}

func TestSourceCarriesEveryValue(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ddl(t, db, `CREATE TABLE r (n integer NOT NULL PRIMARY KEY, s text, b bytea, u uuid, i bigint NOT NULL, at timestamptz)`)
		id := "018f3c5e-7b1a-7c3d-9e2f-0123456789ab"
		var want []row
		for n, s := range awkward {
			at := sqldb.At(time.Date(2021, 7, 19, 20, 0, 0, n*1000, time.FixedZone("KST", 9*3600)))
			want = append(want, row{N: n, S: &s, B: []byte(s), U: &id, I: int64(n) << 40, At: &at})
		}
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		want = append(want, row{N: 100, B: all, I: -1}, row{N: 101, I: 1<<63 - 1}, row{N: 102, I: -1 << 63, B: []byte{0}})

		rows := sqldb.NewRows("src", sqldb.Column{Name: "n", Type: sqldb.Int}, sqldb.Column{Name: "s", Type: sqldb.Text},
			sqldb.Column{Name: "b", Type: sqldb.Bytes}, sqldb.Column{Name: "u", Type: sqldb.UUID},
			sqldb.Column{Name: "i", Type: sqldb.BigInt}, sqldb.Column{Name: "at", Type: sqldb.Timestamp})
		for _, r := range want {
			rows.Add(r.N, r.S, r.B, r.U, r.I, r.At)
		}
		if rows.Len() != len(want) {
			t.Errorf("Len is %d, want %d", rows.Len(), len(want))
		}
		var got []row
		var missing, twice int
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			src, args := tx.Source(rows)
			n, err := tx.Exec(ctx, "WITH "+src+" INSERT INTO r (n, s, b, u, i, at) SELECT n, s, b, u, i, at FROM src WHERE true ON CONFLICT DO NOTHING", args...)
			if err == nil && n != int64(len(want)) {
				err = fmt.Errorf("%d rows were inserted", n)
			}
			if err != nil {
				return err
			}
			// As text, which is what travels where the types of parameters are not known, they are the same.
			if err := tx.Get(ctx, &twice, "WITH "+src+` SELECT COUNT(*) FROM src JOIN r ON r.n = src.n WHERE r.i = src.i
				AND r.s IS NOT DISTINCT FROM src.s AND r.b IS NOT DISTINCT FROM src.b AND r.u IS NOT DISTINCT FROM src.u
				AND r.at IS NOT DISTINCT FROM src.at`, tx.Unplanned(args...)...); err != nil {
				return err
			}
			if err := tx.Get(ctx, &missing, "SELECT COUNT(*) FROM r WHERE b IS NULL"); err != nil {
				return err
			}
			return tx.Select(ctx, &got, "SELECT n, s, b, u, i, at FROM r ORDER BY n")
		})
		if err != nil {
			t.Fatal(err)
		}
		if twice != len(want) {
			t.Errorf("as text %d of %d rows are the same", twice, len(want))
		}
		if missing != 1 {
			t.Errorf("%d rows hold no bytes, want 1: empty is not missing", missing)
		}
		// SQLite's driver reads empty bytes as nil.
		opts := cmp.Options{cmp.Comparer(bytes.Equal), cmp.Comparer(func(a, b *sqldb.Time) bool { return a == b || a != nil && b != nil && a.Time.Equal(b.Time) })}
		if diff := cmp.Diff(want, got, opts); diff != "" {
			t.Errorf("what came back differs (-want +got):\n%s", diff)
		}
	})
}

func TestSourceTakesPlainValuesAndParametersAfterIt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		rows := sqldb.NewRows("src", sqldb.Column{Name: "s", Type: sqldb.Text}, sqldb.Column{Name: "n", Type: sqldb.Int})
		rows.Add("a", 1)
		rows.Add(nil, 2)
		rows.Add("NULL", int64(3))
		var got []string
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			src, args := tx.Source(rows)
			return tx.Select(ctx, &got, "WITH "+src+" SELECT COALESCE(s, 'missing') FROM src WHERE n >= ? ORDER BY n", append(args, 2)...)
		})
		if want := []string{"missing", "NULL"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

// What a column cannot hold is refused as the database refuses data, so that a batch is done one by one.
func TestSourceRefusesWhatAColumnCannotHold(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t, sqldb.Options{})
	for name, c := range map[string]struct {
		of    sqldb.Type
		value any
	}{
		"no UUID":             {sqldb.UUID, "01012345678"},
		"a number too large":  {sqldb.Int, 1 << 31},
		"a number too small":  {sqldb.Int, -1<<31 - 1},
		"a text with a NUL":   {sqldb.Text, "01012345678\x00"},
		"a text out of UTF-8": {sqldb.Text, "01012345678\xff"},
	} {
		rows := sqldb.NewRows("src", sqldb.Column{Name: "v", Type: c.of})
		rows.Add(c.value)
		var n int
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			src, args := tx.Source(rows)
			return tx.Get(ctx, &n, "WITH "+src+" SELECT COUNT(*) FROM src", args...)
		})
		if err == nil || !sqldb.IsRefusedData(err) {
			t.Errorf("%s: %v", name, err)
		}
		err = db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			src, args := tx.Source(rows)
			return tx.Get(ctx, &n, "WITH "+src+" SELECT COUNT(*) FROM src", tx.Unplanned(args...)...)
		})
		if err == nil || !sqldb.IsRefusedData(err) {
			t.Errorf("%s, as text: %v", name, err)
		}
	}
}

func TestRowsRefusesARowOfTheWrongWidth(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a row that is too short was taken")
		}
	}()
	sqldb.NewRows("src", sqldb.Column{Name: "a", Type: sqldb.Int}, sqldb.Column{Name: "b", Type: sqldb.Int}).Add(1)
}

func TestTimesKeepOrderAndPrecision(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ddl(t, db, `CREATE TABLE r (n integer NOT NULL PRIMARY KEY, at timestamptz NOT NULL, maybe timestamptz)`)
		base := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)
		seoul := time.FixedZone("KST", 9*3600)
		times := []time.Time{ // in order; the clock's zone and what lies below a microsecond do not matter
			time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1899, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
			base, base.Add(time.Microsecond).In(seoul), base.Add(10 * time.Microsecond), base.Add(999_999_999 * time.Nanosecond),
			base.Add(time.Second).In(seoul), base.Add(10 * time.Second), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		}
		var got []struct {
			N     int         `db:"n"`
			At    sqldb.Time  `db:"at"`
			Maybe *sqldb.Time `db:"maybe"`
		}
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			for i, at := range times {
				maybe := sqldb.AtPtr(time.Time{})
				if i%2 == 1 {
					maybe = sqldb.AtPtr(at)
				}
				if _, err := tx.Exec(ctx, `INSERT INTO r (n, at, maybe) VALUES (?, ?, ?)`, i, sqldb.At(at), maybe); err != nil {
					return err
				}
			}
			return tx.Select(ctx, &got, `SELECT n, at, maybe FROM r WHERE at <= ? ORDER BY at`, sqldb.At(times[len(times)-1]))
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(times) {
			t.Fatalf("%d times came back, want %d", len(got), len(times))
		}
		for i, g := range got {
			want := times[i].UTC().Truncate(time.Microsecond)
			if g.N != i || !g.At.Time.Equal(want) || g.At.Location() != time.UTC || g.At.Time != sqldb.At(times[i]).Time {
				t.Errorf("place %d holds %d, %s, want %s", i, g.N, g.At, want)
			}
			if (g.Maybe == nil) != (i%2 == 0) || g.Maybe != nil && !g.Maybe.Time.Equal(want) {
				t.Errorf("the nullable time of %d is %v", i, g.Maybe)
			}
		}
	})
}

func TestTimeScanRefusesWhatIsNoTime(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, "", "yesterday", int64(5), "2021-07-19T11:00:00Z", []byte("2021-07-19T11:00:00.000000Z")} {
		var at sqldb.Time
		if err := at.Scan(v); err == nil {
			t.Errorf("%v (%T) was scanned to %s", v, v, at)
		}
	}
}
