package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ansim/notifier/console/staff"
	"ansim/schema/sqldb"
)

// ran is what a command said and how it ended.
func (o *office) ran(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	var out, err bytes.Buffer
	code = run(o.t.Context(), append(args, "--database-url", o.url), &out, &err)
	return code, out.String(), err.String()
}

func TestStaffAndAudit(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		code, password, _ := o.ran("staff", "add", "--name", "kim", "--role", "agent", "--by", "park")
		password = strings.TrimSpace(password)
		if code != 0 || len(password) < 20 {
			t.Fatalf("add: exit %d, a password of %d characters", code, len(password))
		}
		door, err := staff.NewDoor(o.db, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		in := func(password string) error {
			_, err := door.SignIn(t.Context(), "kim", password, "192.0.2.1")
			return err
		}
		if err := in(password); err != nil {
			t.Errorf("the password that was printed: %v", err)
		}
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte("a quite long one\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, _ := o.ran("staff", "password", "kim", "--password-file", file, "--by", "park"); code != 0 || out != "" || in("a quite long one") != nil {
			t.Errorf("password: exit %d, %q, %v", code, out, in("a quite long one"))
		}
		if code, _, _ := o.ran("staff", "role", "kim", "supervisor", "--by", "park"); code != 0 {
			t.Errorf("role: exit %d", code)
		}
		if code, _, _ := o.ran("staff", "disable", "kim", "--by", "park"); code != 0 || in("a quite long one") == nil {
			t.Errorf("disable: exit %d", code)
		}
		if code, out, _ := o.ran("staff", "list"); code != 0 || !strings.Contains(out, "kim") || !strings.Contains(out, "supervisor") || !strings.Contains(out, "disabled 20") {
			t.Errorf("list: exit %d\n%s", code, out)
		}
		if code, _, _ := o.ran("staff", "enable", "kim", "--by", "park"); code != 0 || in("a quite long one") != nil {
			t.Errorf("enable: exit %d", code)
		}
		for _, wrong := range [][]string{{"staff", "add", "--name", "a b", "--role", "agent"}, {"staff", "add", "--name", "lee", "--role", "boss"},
			{"staff", "add", "--name", "lee", "--role", "agent", "--password-file", "/does/not/exist"}, {"audit", "list", "--limit", "0"}} {
			if code, _, stderr := o.ran(wrong...); code != exitUsage || stderr == "" {
				t.Errorf("%v: exit %d, %q", wrong, code, stderr)
			}
		}
		if code, _, _ := o.ran("staff", "role", "nobody", "agent", "--by", "park"); code != exitFailed {
			t.Errorf("nobody: exit %d", code)
		}
		code, out, _ := o.ran("audit", "list", "--json")
		if code != 0 || !strings.Contains(out, `"actor":"cli:park"`) || !strings.Contains(out, "staff-added") || strings.Contains(out, password) || strings.Contains(out, "quite long") {
			t.Errorf("list: exit %d\n%s", code, out)
		}
		entries := strings.Count(out, "\n")
		if code, out, _ := o.ran("audit", "verify"); code != 0 || !strings.HasPrefix(out, fmt.Sprintf("%d entries, unbroken; head ", entries)) {
			t.Errorf("verify: exit %d, %q", code, out)
		}
		if err := o.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE staff_trail_head SET seq = seq + 1")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if code, out, _ := o.ran("audit", "verify"); code != exitFailed || !strings.Contains(out, fmt.Sprintf("broken at entry %d", entries+1)) {
			t.Errorf("verify: exit %d, %q", code, out)
		}
	})
}
