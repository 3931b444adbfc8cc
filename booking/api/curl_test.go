package api

import (
	"html"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shell runs what the documentation says, with the real curl.
type shell struct {
	rig    *rig
	dir    string
	curl   string   // the program
	before []string // NAME=value
}

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{rig: newRig(t), dir: t.TempDir()}
	for _, program := range []string{"curl", "openssl", "sh", "sed", "tee"} {
		path, err := exec.LookPath(program)
		if err != nil && os.Getenv("ANSIM_TEST_REQUIRE") == "1" {
			t.Fatalf("there is no %s, and ANSIM_TEST_REQUIRE=1", program)
		}
		if err != nil {
			t.Skipf("there is no %s here: the examples of the documentation were NOT tried", program)
		}
		if program == "curl" {
			s.curl = path
		}
	}
	s.before = []string{"ANSIM=" + s.rig.url, "KEY=" + s.rig.key}
	return s
}

// noted stands in front of the real curl, so that each status is seen, also that of one in the middle of a pipe. It is a function and
// no file: a program that was written a moment ago cannot be run (ETXTBSY) while a child that some other test has just forked still has
// it open for writing.
const noted = `curl() { "$REAL_CURL" -w '%{stderr}%{http_code}\n' "$@" 2>>"$STATUSES"; }
`

// run gives the statuses of the script's calls, one a line, and what it printed.
func (s *shell) run(script string) (statuses, printed string) {
	s.rig.t.Helper()
	file := filepath.Join(s.dir, "statuses")
	if err := os.RemoveAll(file); err != nil {
		s.rig.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.rig.t.Context(), "sh", "-eu", "-c", noted+script)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), append(s.before, "REAL_CURL="+s.curl, "STATUSES="+file, "http_proxy=", "no_proxy=*")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.rig.t.Errorf("%v\n%s\n%s", err, script, out)
	}
	seen, err := os.ReadFile(file)
	if err != nil {
		s.rig.t.Errorf("nothing was called: %v\n%s", err, script)
	}
	return string(seen), string(out)
}

// try runs a script in which every call has to succeed, and gives what it printed.
func (s *shell) try(script string) string {
	s.rig.t.Helper()
	statuses, printed := s.run(script)
	if calls := strings.Count(script, "curl -s"); calls == 0 || !regexp.MustCompile(`^(2\d\d\n)+$`).MatchString(statuses) || strings.Count(statuses, "\n") != calls {
		s.rig.t.Errorf("%d calls were answered with %q:\n%s\n%s", calls, statuses, script, printed)
	}
	return printed
}

// examples are the blocks of the page's examples that have a class or id.
func (s *shell) examples(mark string) []string {
	s.rig.t.Helper()
	page := s.rig.do("GET", "/docs", "")
	if page.status != http.StatusOK {
		s.rig.t.Fatalf("/docs: %d", page.status)
	}
	var found []string
	for _, m := range regexp.MustCompile(`<pre `+mark+` tabindex="0"><code>([^<]*)</code></pre>`).FindAllStringSubmatch(page.raw, -1) {
		found = append(found, html.UnescapeString(m[1]))
	}
	return found
}

// A new user goes from the key to a booking that was made, looked up and cancelled, by pasting what /docs says.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	steps := s.examples(`class="curl step"`)
	if len(steps) < 4 {
		t.Fatalf("%d steps", len(steps))
	}
	printed := s.try(strings.Join(steps, "\n"))
	if !strings.Contains(printed, `"status":"confirmed"`) || !strings.Contains(printed, `"status":"cancelled"`) {
		t.Errorf("no booking was made and cancelled: %s", printed)
	}
}

// The example of each call works on a reservation that can take it.
func TestCurlOfEachCall(t *testing.T) {
	t.Parallel()
	for _, op := range operations(document(t)) {
		t.Run(op.OperationID, func(t *testing.T) {
			t.Parallel()
			s := newShell(t)
			booked := s.rig.do("POST", "/v1/reservations", `{"slot_id": "gangnam-0726-1030", "resident": {"identity": "me", "name": "홍길동", "birth_date": "1967-03-21", "phone": "010-1234-5678"}, "booked_by": {"name": "홍보람", "phone": "010-8765-4321"}}`, headerKey, "first")
			id, _ := booked.at("id").(string)
			code, _ := booked.at("code").(string)
			if booked.status != http.StatusCreated || id == "" || code == "" {
				t.Fatalf("%d %s", booked.status, booked.raw)
			}
			s.rig.looks.put(id, "accepted", 0)
			s.rig.now.Set(s.rig.now.Now().Add(61 * time.Second)) // from then on a text may be asked for again
			s.before = append(s.before, "ID="+id, "CODE="+code)
			found := s.examples(`class="curl" id="curl-` + op.OperationID + `"`)
			if len(found) != 1 {
				t.Fatalf("%d examples", len(found))
			}
			s.try(found[0])
		})
	}
}

// What a call that is refused looks like to the test.
func TestShellSeesRefusals(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	statuses, _ := s.run(`curl -s "$ANSIM/v1/programmes" | tee /dev/null
curl -s "$ANSIM/v1/programmes" -H "Authorization: Bearer $KEY"`)
	if statuses != "401\n200\n" {
		t.Errorf("statuses %q", statuses)
	}
}

// README's calls work, too.
func TestReadmeCurl(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var script []string
	for _, block := range regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`).FindAllString(string(readme), -1) {
		if strings.Contains(block, "/v1/reservations") && strings.Contains(block, "curl -s") {
			script = append(script, strings.ReplaceAll(block, "http://127.0.0.1:8080", s.rig.url))
		}
	}
	printed := s.try(strings.Join(script, "\n"))
	if !strings.Contains(printed, `"status":"confirmed"`) || !strings.Contains(printed, `"status":"cancelled"`) {
		t.Errorf("no booking was made and cancelled: %s", printed)
	}
}
