package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ansim/notifier/sandbox"
)

// read asks for a path and gives whatever came of it.
func (n *network) read(t *testing.T, path string) (*http.Response, []byte, error) {
	t.Helper()
	resp, err := n.client.Do(n.request(t, http.MethodGet, n.http.URL+path, nil).WithContext(soon(t)))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

const messages = "/2010-04-01/Accounts/" + sandbox.DefaultAccountSID + "/Messages"

// TestReadingFaults: lists and look-ups fail as requests for texts do, and those go on meanwhile.
func TestReadingFaults(t *testing.T) {
	t.Parallel()
	for answer, c := range map[string]struct {
		status, code int
		broken       bool
		kind         string // of the content, JSON unless said
	}{
		`"answer":"ok"`:                    {status: 200},
		`"answer":"drop"`:                  {broken: true},
		`"answer":"refuse"`:                {broken: true},
		`"answer":"garbage"`:               {broken: true},
		`"answer":"truncated"`:             {status: 200, broken: true},
		`"answer":"500"`:                   {status: 500, code: 20500},
		`"answer":"503-html"`:              {status: 503, kind: "text/html"},
		`"answer":"429","retry_after":3`:   {status: 429, code: 20429},
		`"answer":"401"`:                   {status: 401, code: 20003},
		`"answer":"400:20404"`:             {status: 404, code: 20404},
		`"answer":"slow","delay":0.000001`: {status: 200},
		`"answer":"huge"`:                  {status: 200},
		`"answer":"junk-headers"`:          {status: 200, kind: "\x80\xfe\xff; charset="},
		`"answer":"wrong-type"`:            {status: 200, kind: "text/html; charset=utf-8"},
		`"answer":"not-json"`:              {status: 200},
	} {
		for on, other := range map[string]string{"list": "fetch", "fetch": "list"} {
			t.Run(on+" "+answer, func(t *testing.T) {
				t.Parallel()
				n := start(t, sandbox.Options{})
				_, m := n.send(t, text("+821012345678"))
				paths := map[string]string{"list": messages + ".json?To=%2B821012345678", "fetch": m["uri"].(string)}
				n.put(t, `[{"on":"`+on+`",`+answer+`,"match":{"to":"5678"}}]`)
				if resp, _, err := n.read(t, paths[other]); err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("%s fails, too: %v", other, err)
				}
				if status, _ := n.send(t, text("+821012345678")); status != http.StatusCreated {
					t.Fatalf("texts are refused, too: %d", status)
				}
				resp, body, err := n.read(t, paths[on])
				if (err != nil) != c.broken {
					t.Fatalf("%.200s %v", body, err)
				}
				if resp != nil {
					n.checkAnswer(t, resp, body, c.status, c.code, c.kind)
				}
				// Go's transport repeats a GET by itself when a connection that it had used before is reset.
				if got := n.Faults()[0]; got.Fired < 1 || got.Over || (!c.broken && got.Fired != 1) {
					t.Errorf("%+v", got)
				}
				n.put(t, `[]`)
				if resp, body, err := n.read(t, paths[on]); err != nil || resp.StatusCode != 200 || !json.Valid(body) {
					t.Errorf("without the rule: %v", err)
				}
			})
		}
	}
}

func (n *network) checkAnswer(t *testing.T, resp *http.Response, body []byte, status, code int, kind string) {
	t.Helper()
	var m struct {
		Code     int
		SID      string
		Messages []struct{ SID string }
	}
	good := json.Unmarshal(body, &m) == nil
	if kind == "" {
		kind = "application/json;charset=utf-8"
	}
	if resp.StatusCode != status || m.Code != code || resp.Header.Get("Content-Type") != kind {
		t.Errorf("%d, %q, %.200s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
	rule := string(n.Faults()[0].Answer)
	if html := rule == "503-html" || rule == "not-json"; good == (html || rule == "truncated") || html != bytes.Contains(body, []byte("<html>")) {
		t.Errorf("%.200s", body)
	}
	if good && code == 0 && m.SID == "" && len(m.Messages) == 0 {
		t.Errorf("the truth is missing in %.200s", body)
	}
	if huge := rule == "huge"; huge != (len(body) > 10<<20) {
		t.Errorf("%d bytes", len(body))
	}
	if want := n.Faults()[0].RetryAfter; want != 0 && resp.Header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
	}
}

func TestHangingLists(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"on":"list","answer":"hang"}]`)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		resp, err := n.client.Do(n.request(t, http.MethodGet, n.http.URL+messages+".json", nil).WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	n.waitStats(t, func(s sandbox.Stats) bool { return s.Faults == 1 })
	if status, _ := n.send(t, text("+821012345678")); status != http.StatusCreated {
		t.Error(status)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestSlowAnswersComeByteByByte, the first of them before the second is due, and end when the network does.
func TestSlowAnswersComeByteByByte(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"slow","delay":"1h"}]`)
	conn, err := net.Dial("tcp", n.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := n.request(t, http.MethodPost, n.url("/Messages.json"), text("+821012345678")).Write(conn); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if k, err := conn.Read(buf); err != nil || string(buf[:k]) != "H" {
		t.Fatalf("%q %v", buf[:k], err)
	}
	if n.Stats().Taken != 1 {
		t.Error("the text was not taken")
	}
	n.Close()
	if k, err := conn.Read(buf); err == nil {
		t.Errorf("%q came after the end", buf[:k])
	}
}

// TestHugeAnswersEndWithTheirReader: a client that stops reading does not keep the network busy.
func TestHugeAnswersEndWithTheirReader(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"huge"}]`)
	resp, err := n.client.Do(n.request(t, http.MethodPost, n.url("/Messages.json"), text("+821012345678")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("%d %v", resp.StatusCode, err)
	}
	resp.Body.Close()
	n.http.Close() // waits for the handler
}

// clock is one that stands until the test moves it, however long the test takes.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2021, 7, 19, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.ahead.Load()))
}

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// TestStormsPass: a rule with a duration ends by the clock, whatever its count.
func TestStormsPass(t *testing.T) {
	t.Parallel()
	var c clock
	n := start(t, sandbox.Options{Now: c.now, Seed: 1})
	n.put(t, `[{"answer":"429","match":{"probability":0.95},"for":"5m"},{"on":"list","answer":"500","for":600,"count":1000}]`)
	refused := 0
	for range 200 {
		if status, _ := n.send(t, text("+821012345678")); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 175 || refused > 199 {
		t.Errorf("%d of 200 were refused", refused)
	}
	c.advance(5 * time.Minute)
	for range 20 {
		if status, _ := n.send(t, text("+821012345678")); status != http.StatusCreated {
			t.Fatalf("after the storm: %d", status)
		}
	}
	if got := n.Faults(); !got[0].Over || got[1].Over {
		t.Errorf("%+v", got)
	}
	if resp, _, err := n.read(t, messages+".json"); err != nil || resp.StatusCode != 500 {
		t.Errorf("%v", err)
	}
	if page, _ := n.page(t, "/", "en"); !strings.Contains(page, "for 5m0s") || !strings.Contains(page, "list · 500") {
		t.Error("the page does not say for how long and on what")
	}
}

func TestLags(t *testing.T) {
	t.Parallel()
	var c clock
	dir := t.TempDir()
	n := start(t, sandbox.Options{Now: c.now, ListLag: 3 * time.Second, Data: dir})
	listed := func() int {
		_, m := n.get(t, messages+".json?To=%2B821012345678")
		return len(m["messages"].([]any))
	}
	fetched := func(m map[string]any) int {
		status, _ := n.get(t, m["uri"].(string))
		return status
	}
	_, plain := n.send(t, text("+821012345678"))
	n.put(t, `[{"list_lag":"10s","fetch_lag":"5s","count":1}]`)
	_, ruled := n.send(t, text("+821012345678"))
	for _, at := range []struct {
		ahead                time.Duration
		listed, plain, ruled int
	}{{0, 0, 200, 404}, {4 * time.Second, 1, 200, 404}, {6 * time.Second, 1, 200, 200}, {11 * time.Second, 2, 200, 200}} {
		c.ahead.Store(int64(at.ahead))
		if l, p, r := listed(), fetched(plain), fetched(ruled); l != at.listed || p != at.plain || r != at.ruled {
			t.Errorf("after %v: %d listed, %d and %d fetched, want %+v", at.ahead, l, p, r, at)
		}
	}
	n.Close()
	c.ahead.Store(0)
	n = start(t, sandbox.Options{Now: c.now, Data: dir}) // what was taken with a lag keeps it
	if got := listed(); got != 0 {
		t.Errorf("%d listed after a restart", got)
	}
}

// TestFinalAfter: a text may come to its end long after it was taken, also over a restart.
func TestFinalAfter(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	r := listen(t, n.AuthToken(), nil)
	n.put(t, `[{"final":"undelivered:30003","final_after":"1h","count":1},{"final":"failed:30008","final_after":"1ms"}]`)
	n.send(t, text("+821012345678", "StatusCallback", r.URL+"/a"))
	if got := strings.Join(r.statuses(t, 2), " "); got != "queued sent" {
		t.Error(got)
	}
	n.send(t, text("+821012345679", "StatusCallback", r.URL+"/b"))
	if got := strings.Join(r.statuses(t, 2), " "); got != "queued failed" {
		t.Error(got)
	}
	if got := n.Stats().States; got[sandbox.Sent] != 1 || got[sandbox.Failed] != 1 || len(r.got) != 0 {
		t.Errorf("%v", got)
	}
	if e := n.log(t)[0]; e.FinalAfter != sandbox.Duration(time.Hour) || e.Final != "undelivered:30003" {
		t.Errorf("%+v", e)
	}
}

// FuzzRules: whatever is put, the network answers in JSON, keeps what it had when it refuses, and shows what it took in
// the form in which it takes it again.
func FuzzRules(f *testing.F) {
	for _, s := range []string{
		`[]`, `{}`, `null`, `[{"on":"list","answer":"503-html","count":3}]`, `[{"match":{"every":3,"probability":0.95,"to":"1","body_contains":"예약"},"for":"5m","answer":"429","retry_after":1}]`,
		`[{"final":"undelivered:30003","final_after":1.5,"callbacks":"late","late_by":"2s","list_lag":3,"fetch_lag":"1ms"}]`, `[{"delay":1e300}]`, `[{"happen":"no","answer":"400:21610"}]`, `[{"seen":1}]`,
	} {
		f.Add(s)
	}
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	put := func(body string) (int, string) {
		w := newAnswer()
		req, _ := http.NewRequest(http.MethodPut, "/sandbox/faults", strings.NewReader(body))
		s.ServeHTTP(w, req)
		return w.status, w.String()
	}
	f.Fuzz(func(t *testing.T, body string) {
		if err := s.SetFaults(sandbox.Rule{Answer: sandbox.Answer429}); err != nil {
			t.Fatal(err)
		}
		status, answer := put(body)
		if !json.Valid([]byte(answer)) || (status != http.StatusOK && status != http.StatusBadRequest) {
			t.Fatalf("%q: %d %s", body, status, answer)
		}
		if status != http.StatusOK {
			if got := s.Faults(); len(got) != 1 || got[0].Answer != sandbox.Answer429 {
				t.Fatalf("%q was refused, and the rules are %+v", body, got)
			}
			return
		}
		var rules []sandbox.Rule
		for _, r := range s.Faults() {
			rules = append(rules, r.Rule)
		}
		again, err := json.Marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		if status, second := put(string(again)); status != http.StatusOK || second != answer {
			t.Errorf("%q: %s became %d %s", body, answer, status, second)
		}
	})
}

// answer is a response that is kept.
type answer struct {
	bytes.Buffer
	header http.Header
	status int
}

func newAnswer() *answer                 { return &answer{header: http.Header{}, status: http.StatusOK} }
func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
