package archtest

import (
	"strings"
	"testing"
)

func TestTree(t *testing.T) {
	t.Parallel()
	tr := readTree(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, b := range r.check(tr) {
				t.Error(b)
			}
		})
	}
}

// A rule that cannot fail holds nothing. Each is shown here what it forbids, next to what it must let pass.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	const doc = "// Package x is for a test.\npackage x\n"
	tests := []struct {
		rule, path, source string
		want               string // part of the complaint, "" when there is to be none
	}{
		{"top level", "main.go", doc, "no Go files"},
		{"top level", "tools/x.go", doc, "tools does not belong"},
		{"top level", "booking/x.go", doc, ""},
		{"folder names", "booking/util/x.go", doc, "booking/util"},
		{"folder names", "booking/api/x.go", doc, ""},
		{"import direction", "booking/x.go", doc + `import _ "ansim/notifier"`, "booking may not import notifier"},
		{"import direction", "notifier/resident/x.go", doc + `import _ "ansim/booking"`, ""},
		{"import direction", "notifier/text/x.go", doc + `import _ "ansim/booking"`, "notifier may not import booking"},
		{"import direction", "outbox/x.go", doc + `import _ "ansim/notifier/text"`, "outbox may not import notifier"},
		{"import direction", "schema/event/x.go", doc + `import _ "ansim/outbox"`, "schema may not import outbox"},
		{"import direction", "booking/x_test.go", doc + `import _ "ansim/notifier"`, "booking may not import notifier"},
		{"import direction", "booking/x.go", doc + `import _ "ansim/cmd/app"`, "booking may not import cmd"},
		{"import direction", "booking/x.go", doc + `import _ "ansim/test/dbtest"`, "only tests may"},
		{"import direction", "booking/x_test.go", doc + `import _ "ansim/test/dbtest"`, ""},
		{"import direction", "test/e2e/x.go", doc + `import _ "ansim/test/dbtest"`, ""},
		{"import direction", "cmd/app/x.go", doc + `import (_ "ansim/booking"; _ "ansim/notifier/twilio"; _ "ansim/schema/event")`, ""},
		{"libraries at home", "booking/x.go", doc + `import _ "github.com/jackc/pgx/v5/pgconn"`, "which is for schema/sqldb"},
		{"libraries at home", "schema/x.go", doc + `import _ "modernc.org/sqlite"`, "which is for schema/sqldb"},
		{"libraries at home", "notifier/x.go", doc + `import _ "github.com/segmentio/kafka-go"`, "which is for outbox/kafka"},
		{"libraries at home", "notifier/x.go", doc + `import _ "github.com/twilio/twilio-go/client"`, "which is for notifier/twilio"},
		{"libraries at home", "outbox/kafka/embedded/x.go", doc + `import _ "github.com/twmb/franz-go/pkg/kfake"`, ""},
		{"libraries at home", "schema/sqldb/x.go", doc + `import _ "github.com/jmoiron/sqlx"`, ""},
		{"libraries at home", "notifier/x_test.go", doc + `import _ "github.com/segmentio/kafka-go"`, ""},
		{"libraries at home", "schema/audit/x.go", doc + `import _ "github.com/segmentio/kafka-go"`, ""},
		{"independent judge", "schema/audit/x.go", doc + `import _ "ansim/schema/event"`, "the judge shares no code"},
		{"independent judge", "schema/audit/x.go", doc + `import _ "ansim/schema/sqldb"`, ""},
		{"independent judge", "schema/audit/x_test.go", doc + `import _ "ansim/schema/event"`, ""},
		{"file length", "booking/x.go", doc + strings.Repeat("\n", 600), "has 602 lines"},
		{"file length", "booking/x.go", doc + strings.Repeat("\n", 598), ""},
		{"package docs", "booking/x.go", "package x\n", "booking: no file"},
		{"package docs", "booking/x_test.go", "package x_test\n", ""},
		{"package docs", "cmd/x/x.go", "// Command x does it.\npackage main\n", ""},
		{"exported docs", "booking/x.go", doc + "func F() {}", "exported F"},
		{"exported docs", "booking/x.go", doc + "type T struct{}", "exported T"},
		{"exported docs", "booking/x.go", doc + "const C = 1", "exported C"},
		{"exported docs", "booking/x.go", doc + "// T is.\ntype T[A any] struct{}\nfunc (T[A]) M() {}", "exported M"},
		{"exported docs", "booking/x.go", doc + "type t struct{}\nfunc (t) M() {}", ""},
		{"exported docs", "booking/x.go", doc + "// These are.\nconst (\nA = 1\nB = 2\n)", ""},
		{"nothing unfinished", "booking/x.go", doc + "// TO" + "DO: later\n", "booking/x.go:3"},
		{"nothing unfinished", "booking/x.go", doc + `func f() { panic("to` + `do") }`, "booking/x.go:3"},
		{"nothing unfinished", "booking/x.go", doc + `func f() { panic("unreachable") }`, ""},
		{"no sleeping tests", "booking/x_test.go", doc + "import \"time\"\nfunc f() { time.Sleep(1) }", "booking/x_test.go:4"},
		{"no sleeping tests", "booking/x.go", doc + "import \"time\"\nfunc f() { time.Sleep(1) }", ""},
		{"no globals, no init", "booking/x.go", doc + "func init() {}", "booking/x.go:3"},
		{"no globals, no init", "booking/x.go", doc + "var n int\nfunc f() { n = 1 }", "package variable n"},
		{"no globals, no init", "booking/x.go", doc + "var n int\nfunc f() { n := 1; n = 2; _ = n }", ""},
		{"no globals, no init", "booking/x.go", doc + "type i interface{}\nvar _ i = 1\nfunc f() { _ = 1 }", ""},
		{"no globals, no init", "test/dbtest/x.go", doc + "var n int\nfunc f() { n = 1 }", ""},
	}
	bitten := map[string]bool{}
	for _, test := range tests {
		f, err := parseFile(test.path, []byte(test.source))
		if err != nil {
			t.Fatalf("%s: %v", test.source, err)
		}
		tr := tree{top: []string{stage(test.path), ".ci", "go.mod"}, dirs: []string{f.dir}, files: []file{f}}
		if f.dir == "." {
			tr.top = nil
		}
		bad := strings.Join(ruleNamed(t, test.rule).check(tr), "\n")
		if test.want == "" && bad != "" || !strings.Contains(bad, test.want) {
			t.Errorf("%s on %s: %q, want %q\n%s", test.rule, test.path, bad, test.want, test.source)
		}
		bitten[test.rule] = bitten[test.rule] || test.want != ""
	}
	for _, r := range rules {
		if !bitten[r.name] {
			t.Errorf("no case breaks the rule %q", r.name)
		}
	}
}

func ruleNamed(t *testing.T, name string) rule {
	t.Helper()
	for _, r := range rules {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("no rule %q", name)
	return rule{}
}
