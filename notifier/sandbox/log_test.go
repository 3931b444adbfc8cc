package sandbox_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ansim/notifier/sandbox"
)

func (n *network) log(t *testing.T) (out []sandbox.Entry) {
	t.Helper()
	resp, err := n.client.Get(n.http.URL + "/sandbox/log")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var e sandbox.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		out = append(out, e)
	}
	return out
}

func TestLogOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hour := [2]time.Duration{time.Hour, time.Hour + 1}
	n := start(t, sandbox.Options{Data: dir})
	_, first := n.send(t, text("+821012345678", "Body", "하나"))
	if err := n.WaitFinal(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = start(t, sandbox.Options{Data: dir, SentAfter: hour, DeliveredAfter: hour})
	n.put(t, `[{"final":"undelivered:30003"}]`)
	r := listen(t, n.AuthToken(), nil)
	n.send(t, text("+821012345679", "Body", "둘", "StatusCallback", r.URL+"/status/tok"))
	if s := n.Stats(); s.Taken != 2 || s.States[sandbox.Delivered] != 1 {
		t.Errorf("%+v", s)
	}
	r.statuses(t, 1)
	if err := n.Close(); err != nil { // queued, and not sent yet
		t.Fatal(err)
	}

	n = start(t, sandbox.Options{Data: dir})
	if got := strings.Join(r.statuses(t, 3), " "); got != "queued sent undelivered" {
		t.Errorf("after the restart: %s", got)
	}
	n.send(t, text("+821012345678", "Body", "셋"))
	log := n.log(t)
	if len(log) != 3 || log[0].Body != "하나" || log[0].SID != first["sid"] || log[1].Token != "tok" || log[2].Seq != 3 || log[2].At.IsZero() || log[0].Account != n.AccountSID() {
		t.Errorf("%+v", log)
	}
	if texts := n.Texts(); texts[0].Status != sandbox.Delivered || texts[0].SentAt.IsZero() || texts[1].ErrorCode != 30003 {
		t.Errorf("%+v", texts)
	}
}

func TestTornLastLineIsCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, sandbox.Options{Data: dir})
	n.send(t, text("+821012345678"))
	n.send(t, text("+821012345678"))
	n.Close()
	name := filepath.Join(dir, "texts.ndjson")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	n = start(t, sandbox.Options{Data: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if log := n.log(t); len(log) != 1 || !strings.Contains(said.String(), "torn") {
		t.Errorf("%+v, said %q", log, said.String())
	}
	n.send(t, text("+821012345678"))
	if log := n.log(t); len(log) != 2 || log[1].Seq != 2 {
		t.Errorf("%+v", log)
	}
}

func TestDamagedLogAndSharedFolderAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, sandbox.Options{Data: dir})
	n.send(t, text("+821012345678"))
	if _, err := sandbox.New(sandbox.Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second sandbox: %v", err)
	}
	n.Close()
	if err := os.WriteFile(filepath.Join(dir, "texts.ndjson"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.New(sandbox.Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged log: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, sandbox.Options{Data: dir})
	const clients, each = 64, 10
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				if status, m := n.send(t, text(fmt.Sprintf("+8210%08d", c), "Body", fmt.Sprint(i))); status != http.StatusCreated {
					t.Errorf("%d %v", status, m)
				}
			}
		})
	}
	wg.Wait()
	if err := n.WaitFinal(soon(t), clients*each); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, e := range n.log(t) {
		if e.Seq != int64(i+1) {
			t.Fatalf("line %d has number %d", i, e.Seq)
		}
		if want := fmt.Sprint(seen[e.To]); e.Body != want {
			t.Fatalf("the texts of a client are out of order: %s, want %s", e.Body, want)
		}
		seen[e.To]++
	}
	if s := n.Stats(); s.Taken != clients*each || s.Phones != clients || s.SameTwice != 0 || s.States[sandbox.Delivered] != clients*each {
		t.Errorf("%+v", s)
	}
}

// BenchmarkSend is 64 clients that send one text after the other over loopback, each fsynced before its answer.
func BenchmarkSend(b *testing.B) {
	n := start(b, sandbox.Options{Data: b.TempDir(), SentAfter: [2]time.Duration{time.Hour, time.Hour + 1}, DeliveredAfter: [2]time.Duration{time.Hour, time.Hour + 1}})
	form := text("+821012345678").Encode()
	work := make(chan struct{})
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for range work {
				req := n.request(b, http.MethodPost, n.url("/Messages.json"), nil)
				req.Body, req.ContentLength = newBody(form), int64(len(form))
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if status, m := n.do(b, req); status != http.StatusCreated {
					b.Errorf("%d %v", status, m)
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "texts/s")
}

func newBody(s string) *body { return &body{strings.NewReader(s)} }

type body struct{ *strings.Reader }

func (body) Close() error { return nil }
