package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// demoResult is the last line of `demo --once --json`.
type demoResult struct {
	Booked, Accepted, Delivered, Lost, Duplicates, Oversold *int
}

func demoOnce(t *testing.T, people int, args ...string) {
	t.Helper()
	r := run(t, nil, append([]string{"demo", "--once", "--json", "--people", fmt.Sprint(people)}, args...)...)
	var got demoResult
	if err := json.Unmarshal([]byte(r.lastLine()), &got); err != nil {
		t.Fatalf("exit %d, and the last line is no JSON: %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	for _, f := range []struct {
		name string
		got  *int
		want int
	}{{"booked", got.Booked, people}, {"accepted", got.Accepted, people}, {"delivered", got.Delivered, people},
		{"lost", got.Lost, 0}, {"duplicates", got.Duplicates, 0}, {"oversold", got.Oversold, 0}} {
		if f.got == nil || *f.got != f.want {
			t.Errorf("%s is not %d: %s", f.name, f.want, r.lastLine())
		}
	}
	if r.code != 0 {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	shown := 0
	for line := range strings.Lines(r.stdout) {
		if codePattern.MatchString(line) {
			shown++
		}
	}
	if shown != people {
		t.Errorf("%d texts are shown, not %d:\n%s", shown, people, r.stdout)
	}
}

func TestDemoOnce(t *testing.T) {
	t.Parallel()
	demoOnce(t, 20)
}

// A folder that was used before is used again with new people, and the figures are of this run.
func TestDemoTwiceOnOneFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	for range 2 {
		demoOnce(t, 5, "--data", dir)
	}
}

func TestDemoStaysUpForTheBrowser(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", nil, "demo", "--people", "3", "--addr", "127.0.0.1:0")
	in := &installation{t: t, client: clientOf(t)}
	for mark, want := range map[string]string{"start page": "ansim", "the phones": "", "API ": "openapi"} {
		line := p.line(p.out, mark)
		page := strings.TrimSpace(line[strings.Index(line, "http://"):])
		a, err := in.page(page)
		if err != nil || a.status != 200 || !strings.Contains(string(a.body), want) {
			t.Errorf("%s at %s: status %d, error %v", mark, page, a.status, err)
		}
	}
	for _, of := range []string{"delivered", "on its way", "unknown", "failed", "held"} {
		p.line(p.out, "  "+of)
	}
	if took := p.stop(); took > 15*time.Second {
		t.Errorf("it took %s to end", took)
	}
}
