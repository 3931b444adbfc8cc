package outbox

import (
	"testing"

	"ansim/schema/sqldb"
)

func TestPositionsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect sqldb.Dialect
		pos     position
		text    string
	}{
		{sqldb.SQLite, position{}, "0"},
		{sqldb.SQLite, position{after: 1<<63 - 1}, "9223372036854775807"},
		{sqldb.Postgres, position{from: beginning}, "1:1:"},
		{sqldb.Postgres, position{from: "745:812:745,790"}, "745:812:745,790"},
		{sqldb.Postgres, position{from: beginning, to: "745:812:745", after: 4000}, "1:1:|745:812:745|4000"},
		{sqldb.Postgres, position{from: "7:7:", to: "8:8:"}, "7:7:|8:8:|0"},
	} {
		if got := c.pos.String(); got != c.text {
			t.Errorf("%#v is written %q, want %q", c.pos, got, c.text)
		}
		if got, err := parsePosition(c.dialect, c.text); err != nil || got != c.pos {
			t.Errorf("%q is read as %#v, %v", c.text, got, err)
		}
	}
	for dialect, want := range map[sqldb.Dialect]position{sqldb.SQLite: {}, sqldb.Postgres: {from: beginning}} {
		if got, err := parsePosition(dialect, ""); err != nil || got != want {
			t.Errorf("%s: nothing stored is read as %#v, %v", dialect, got, err)
		}
	}
}

// A position that cannot be understood must not be taken for another, least of all for a later one.
func TestDamagedPositionsAreRefused(t *testing.T) {
	t.Parallel()
	for dialect, texts := range map[sqldb.Dialect][]string{
		sqldb.SQLite: {"-1", "1.5", "1:1:", "x", " 1", "9223372036854775808"},
		sqldb.Postgres: {"5", "1:1", "1:1:,", "1:1:2,", "x:1:", "1:1: ", "1:1:|", "1:1:|2:2:", "1:1:|2:2:|", "1:1:|2:2:|x", "1:1:|2:2:|-1",
			"1:1:||5", "|2:2:|5", "1:1:|2:2:|5|6", "1:1:\n"},
	} {
		for _, s := range texts {
			if got, err := parsePosition(dialect, s); err == nil {
				t.Errorf("%s: %q is read as %#v", dialect, s, got)
			}
		}
	}
}

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"", "5", "1:1:", "745:812:745,790", "1:1:|745:812:745|4000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, dialect := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres} {
			pos, err := parsePosition(dialect, s)
			if err != nil {
				continue
			}
			if again, err := parsePosition(dialect, pos.String()); err != nil || again != pos {
				t.Errorf("%s: %#v became %#v, %v", dialect, pos, again, err)
			}
		}
	})
}

func TestFurther(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"", ""}, {"", "5"}, {"9", "10"}, {"", "9:1"}, {"9:1", "10:0"}, {"9:9", "9:10"}, {"99:5", "100:4"}} {
		if Further(c[0], c[1]) != c[1] || Further(c[1], c[0]) != c[1] {
			t.Errorf("of %q and %q the second is further", c[0], c[1])
		}
	}
}
