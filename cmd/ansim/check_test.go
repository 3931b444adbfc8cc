package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ansim/notifier/sandbox"
	"ansim/schema/audit"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// check runs `ansim check` and returns its exit code and what it said.
func check(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"check"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// reportOf is the last line of a check with --json.
func reportOf(t *testing.T, stdout string) (r audit.Report) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return r
}

func invariantOf(t *testing.T, r audit.Report, id string) audit.Invariant {
	t.Helper()
	for _, i := range r.Invariants {
		if i.ID == id {
			return i
		}
	}
	t.Fatalf("%s was not asked", id)
	return audit.Invariant{}
}

func TestCheckExitCodes(t *testing.T) {
	for _, v := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "ANSIM_DATABASE_URL", "ANSIM_RECONCILE"} {
		t.Setenv(v, "")
		os.Unsetenv(v)
	}
	db := dbtest.SQLite(t, sqldb.Options{})
	url := "--database-url=sqlite:" + db.Path()
	for _, c := range []struct {
		args []string
		code int
		says string // on either
	}{
		{[]string{url}, 0, "not asked: I14"},
		{[]string{url, "--settled", "--json"}, 0, `"figures"`},
		{[]string{url, "--kafka=embedded"}, 2, "host:port"},
		{[]string{url, "--kafka=nonsense"}, 2, "--kafka"},
		{[]string{url, "--since=1h"}, 2, "--provider"},
		{[]string{url, "--reconcile=0s"}, 2, "ANSIM_RECONCILE"},
		{[]string{url, "--provider"}, 1, "TWILIO_AUTH_TOKEN"},
		{[]string{url, "--log=" + filepath.Join(t.TempDir(), "nowhere")}, 1, "sandbox's log"},
		{[]string{"--database-url=sqlite:" + filepath.Join(t.TempDir(), "nowhere")}, 1, "ansim:"},
	} {
		code, stdout, stderr := check(t, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%q: exit %d, %s%s", c.args, code, stdout, stderr)
		}
	}
	exec(t, db, `INSERT INTO message_queue (message_id, job, priority, due_at, since) VALUES ('00000000-0000-7000-0000-000000000001', 'poll', 0, ?, ?)`,
		sqldb.At(time.Now()), sqldb.At(time.Now()))
	code, stdout, _ := check(t, url)
	if code != 1 || !strings.Contains(stdout, "BROKEN") || !strings.Contains(stdout, "due time of no message: 00000000-0000-7000-0000-000000000001") {
		t.Errorf("exit %d, %s", code, stdout)
	}
}

// TestCheckReadsTheSandboxsList has the sandbox take texts of which the database knows nothing, more than fit on a page, and
// finds each of them in the list and in the log; a network that took none is clean.
func TestCheckReadsTheSandboxsList(t *testing.T) {
	phones, err := sandbox.New(sandbox.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = phones.Close() })
	srv := httptest.NewServer(phones)
	t.Cleanup(srv.Close)
	t.Setenv("TWILIO_ACCOUNT_SID", phones.AccountSID())
	t.Setenv("TWILIO_AUTH_TOKEN", phones.AuthToken())
	t.Setenv("ANSIM_TWILIO_FROM", sandboxFrom)
	t.Setenv("ANSIM_TWILIO_BASE_URL", srv.URL)
	db := dbtest.SQLite(t, sqldb.Options{})
	args := []string{"--database-url=sqlite:" + db.Path(), "--provider", "--since=1h", "--json", "--log=" + srv.URL + "/sandbox/log"}
	if code, stdout, stderr := check(t, args...); code != 0 {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	const n = 1005 // the largest page has 1,000
	for i := range n {
		send(t, phones, srv.URL, fmt.Sprintf("+8210%08d", i), "hello")
	}
	send(t, phones, srv.URL, "+821000000000", "hello")
	code, stdout, stderr := check(t, args...)
	if code != 1 {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	r := reportOf(t, stdout)
	for _, account := range []string{"-provider", "-log"} {
		if i := invariantOf(t, r, "I16"+account); i.Checked != n+1 || i.Violations != n+1 || i.Open != 0 {
			t.Errorf("%+v", i)
		}
		if i := invariantOf(t, r, "I2"+account); i.Violations != 1 {
			t.Errorf("%+v", i)
		}
	}
	if strings.Contains(stdout+stderr, "+8210") || strings.Contains(stdout+stderr, "hello") {
		t.Errorf("a number or a text is in %s%s", stdout, stderr)
	}
	t.Setenv("ANSIM_TWILIO_FROM", "+15005550000") // another sender's texts are not ours
	if _, stdout, _ := check(t, args...); invariantOf(t, reportOf(t, stdout), "I16-provider").Checked != 0 {
		t.Error(stdout)
	}
}

// TestCheckWhoseListCannotBeRead: the exit code is that of a failure, and neither the account nor the address is shown.
func TestCheckWhoseListCannotBeRead(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(srv.Close)
	t.Setenv("TWILIO_ACCOUNT_SID", "AC1")
	t.Setenv("TWILIO_AUTH_TOKEN", "secret-token")
	t.Setenv("ANSIM_TWILIO_BASE_URL", srv.URL)
	code, stdout, stderr := check(t, "--database-url=sqlite:"+dbtest.SQLite(t, sqldb.Options{}).Path(), "--provider")
	if code != 1 || !strings.Contains(stderr, "check TWILIO_ACCOUNT_SID") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	for _, hidden := range []string{"AC1", "secret-token", srv.URL} {
		if strings.Contains(stdout+stderr, hidden) {
			t.Errorf("%s is in %s%s", hidden, stdout, stderr)
		}
	}
}

// send has the network take a text.
func send(t *testing.T, phones *sandbox.Server, base, to, body string) {
	t.Helper()
	form := url.Values{"To": {to}, "From": {sandboxFrom}, "Body": {body}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/2010-04-01/Accounts/"+phones.AccountSID()+"/Messages.json",
		strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(phones.AccountSID(), phones.AuthToken())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("status %d, %v", res.StatusCode, err)
	}
}

func exec(t *testing.T, db *sqldb.DB, query string, args ...any) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
