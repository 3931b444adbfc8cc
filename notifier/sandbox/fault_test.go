package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ansim/notifier/sandbox"
)

// put sets the rules over HTTP.
func (n *network) put(t *testing.T, rules string) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, n.http.URL+"/sandbox/faults", strings.NewReader(rules))
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
}

// post sends a text and gives whatever came of it.
func (n *network) post(t *testing.T, ctx context.Context, to string) (*http.Response, []byte, error) {
	t.Helper()
	resp, err := n.client.Do(n.request(t, http.MethodPost, n.url("/Messages.json"), text(to)).WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	code := func(body []byte) int {
		var m struct{ Code int }
		_ = json.Unmarshal(body, &m)
		return m.Code
	}
	for rule, c := range map[string]struct {
		taken, status, code int
		broken              bool // the client sees its connection end
	}{
		`{"answer":"ok"}`:                                   {taken: 1, status: 201},
		`{"answer":"drop"}`:                                 {taken: 1, broken: true},
		`{"answer":"drop","happen":"no"}`:                   {taken: 0, broken: true},
		`{"answer":"refuse"}`:                               {taken: 0, broken: true},
		`{"answer":"500"}`:                                  {taken: 1, status: 500, code: 20500},
		`{"answer":"500","happen":"no"}`:                    {taken: 0, status: 500, code: 20500},
		`{"answer":"503-html"}`:                             {taken: 1, status: 503},
		`{"answer":"truncated"}`:                            {taken: 1, status: 201, broken: true},
		`{"answer":"429","retry_after":7}`:                  {taken: 0, status: 429, code: 20429},
		`{"answer":"429","happen":"yes"}`:                   {taken: 1, status: 429, code: 20429},
		`{"answer":"401"}`:                                  {taken: 0, status: 401, code: 20003},
		`{"answer":"400:21610"}`:                            {taken: 0, status: 400, code: 21610},
		`{"answer":"400:21408"}`:                            {taken: 0, status: 400, code: 21408},
		`{"answer":"ok","delay":"20ms"}`:                    {taken: 1, status: 201},
		`{"answer":"slow","delay":"1us"}`:                   {taken: 1, status: 201},
		`{"answer":"slow","delay":"1us","happen":"no"}`:     {taken: 0, status: 500, code: 20500},
		`{"answer":"huge"}`:                                 {taken: 1, status: 201},
		`{"answer":"huge","happen":"no"}`:                   {taken: 0, status: 500, code: 20500},
		`{"answer":"junk-headers"}`:                         {taken: 1, status: 201},
		`{"answer":"junk-headers","happen":"no"}`:           {taken: 0, status: 500, code: 20500},
		`{"answer":"garbage"}`:                              {taken: 1, broken: true},
		`{"answer":"garbage","happen":"no"}`:                {taken: 0, broken: true},
		`{"answer":"wrong-type"}`:                           {taken: 1, status: 201},
		`{"answer":"wrong-type","happen":"no"}`:             {taken: 0, status: 500, code: 20500},
		`{"answer":"not-json"}`:                             {taken: 1, status: 200},
		`{"answer":"not-json","happen":"no"}`:               {taken: 0, status: 200},
		`{"on":"list","answer":"500"}`:                      {taken: 1, status: 201},
		`{"on":"create","answer":"500"}`:                    {taken: 1, status: 500, code: 20500},
		`{"match":{"to":"5678"}}`:                           {taken: 1, status: 201},
		`{"match":{"to":"1"},"answer":"429"}`:               {taken: 1, status: 201},
		`{"match":{"body_contains":"예약완료"},"answer":"429"}`: {taken: 0, status: 429, code: 20429},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			n := start(t, sandbox.Options{})
			n.put(t, "["+rule+"]")
			resp, body, err := n.post(t, soon(t), "+821012345678")
			if c.broken != (err != nil) {
				t.Errorf("err = %v", err)
			}
			if resp != nil && (resp.StatusCode != c.status || code(body) != c.code) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if strings.Contains(rule, "retry_after") && resp.Header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
			}
			if strings.Contains(rule, "html") && json.Valid(body) {
				t.Errorf("%s", body)
			}
			if got := n.Stats().Taken; got != c.taken {
				t.Errorf("taken %d, want %d", got, c.taken)
			}
		})
	}
}

func TestDropIsAReset(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"drop"}]`)
	_, _, err := n.post(t, soon(t), "+821012345678")
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func TestHangTakesAndStaysSilent(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"hang","count":1}]`)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, _, err := n.post(t, ctx, "+821012345678")
		failed <- err
	}()
	if err := n.WaitFinal(soon(t), 1); err != nil { // it is even delivered meanwhile
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		t.Fatalf("answered: %v", err)
	default:
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if resp, _, err := n.post(t, soon(t), "+821012345678"); err != nil || resp.StatusCode != 201 {
		t.Errorf("after the rule was used up: %v %v", resp, err)
	}
}

func TestCloseEndsWhoHangs(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"hang"}]`)
	failed := make(chan error, 1)
	go func() {
		_, _, err := n.post(t, t.Context(), "+821012345678")
		failed <- err
	}()
	if err := n.WaitTaken(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("an answer came")
	}
	resp, body, err := n.post(t, soon(t), "+821012345678")
	if err != nil || (resp.StatusCode != 500 && resp.StatusCode != 201) || resp.StatusCode == 201 {
		t.Errorf("a closed network answers %v %s %v", resp, body, err)
	}
}

func TestCountEveryAndDice(t *testing.T) {
	t.Parallel()
	statuses := func(rules string, seed uint64) (out []int) {
		n := start(t, sandbox.Options{Seed: seed})
		n.put(t, rules)
		for range 12 {
			resp, _, err := n.post(t, soon(t), "+821012345678")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, resp.StatusCode)
		}
		return out
	}
	many := func(s []int) (n int) {
		for _, x := range s {
			if x == 429 {
				n++
			}
		}
		return n
	}
	if got := statuses(`[{"answer":"429","match":{"every":3},"count":2}]`, 1); !slices.Equal(got, []int{201, 201, 429, 201, 201, 429, 201, 201, 201, 201, 201, 201}) {
		t.Error(got)
	}
	dice := `[{"answer":"429","match":{"probability":0.5}}]`
	one, again := statuses(dice, 7), statuses(dice, 7)
	if !slices.Equal(one, again) || many(one) == 0 || many(one) == 12 {
		t.Errorf("the same seed gave %v and %v", one, again)
	}
	if got := statuses(`[{"answer":"429","count":2},{"answer":"500","count":1}]`, 1); !slices.Equal(got[:4], []int{429, 429, 500, 201}) {
		t.Errorf("the first rule that is not used up decides: %v", got)
	}
	if got := statuses(`[{"answer":"429","match":{"to":"999"}},{"answer":"400:21610","count":1}]`, 1); got[0] != 400 || got[1] != 201 {
		t.Error(got)
	}
}

func TestRefuseBehindAnotherRule(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"429","match":{"to":"999"}},{"answer":"refuse","count":1}]`)
	if _, _, err := n.post(t, soon(t), "+821012345678"); err == nil {
		t.Error("not refused")
	}
	got := n.Faults()
	if got[0].Fired != 0 || got[1].Fired != 1 || got[1].Seen != 1 {
		t.Errorf("%+v", got)
	}
}

func TestListLag(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"list_lag":3600,"count":1}]`)
	_, m := n.send(t, text("+821012345678"))
	n.send(t, text("+821012345678"))
	if _, l := n.get(t, "/2010-04-01/Accounts/"+n.AccountSID()+"/Messages.json?To=%2B821012345678"); len(l["messages"].([]any)) != 1 {
		t.Errorf("the list shows %v", l["messages"])
	}
	if status, _ := n.get(t, m["uri"].(string)); status != 200 {
		t.Errorf("fetching it: %d", status)
	}
}

func TestRulesAreShownAndCleared(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"429","count":5,"delay":0.001,"match":{"every":2}}]`)
	for range 4 {
		n.send(t, text("+821012345678"))
	}
	resp, err := n.client.Get(n.http.URL + "/sandbox/faults")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var rules []sandbox.RuleState
	if err := json.NewDecoder(resp.Body).Decode(&rules); err != nil || len(rules) != 1 || rules[0].Seen != 4 || rules[0].Fired != 2 || rules[0].Delay != sandbox.Duration(time.Millisecond) {
		t.Errorf("%+v %v", rules, err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, n.http.URL+"/sandbox/faults", nil)
	if resp, err := n.client.Do(req); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Error(resp, err)
	}
	if len(n.Faults()) != 0 {
		t.Error("rules are left")
	}
}

func TestBadRulesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.put(t, `[{"answer":"429"}]`)
	for rules, word := range map[string]string{
		`{}`: "list", `[{"answr":"ok"}]`: "answr", `[{"answer":"418"}]`: "503-html", `[{"answer":"400:x"}]`: "400:CODE",
		`[{"happen":"maybe"}]`: "yes or no", `[{"happen":"no"}]`: "happen no", `[{"answer":"refuse","happen":"yes"}]`: "drop",
		`[{"callbacks":"never"}]`: "reordered", `[{"final":"lost"}]`: "undelivered:CODE", `[{"match":{"probability":2}}]`: "probability",
		`[{"on":"send"}]`: "create, list or fetch", `[{"on":"list","happen":"no"}]`: "leave it out", `[{"on":"fetch","list_lag":1}]`: "create",
		`[{"on":"list","final":"sent"}]`: "create", `[{"on":"list","match":{"body_contains":"x"}}]`: "match its number", `[{"for":-1}]`: "negative",
		`[{"delay":1e30}]`: "duration", `[{"final_after":"-1s"}]`: "negative",
		`[{"count":-1}]`: "negative", `[{"delay":"soon"}]`: "duration", `[{"delay":[]}]`: "duration",
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, n.http.URL+"/sandbox/faults", bytes.NewReader([]byte(rules)))
		status, m := n.do(t, req)
		if text, _ := m["error"].(string); status != 400 || !strings.Contains(text, word) {
			t.Errorf("%s: %d %q should name %q", rules, status, text, word)
		}
	}
	if len(n.Faults()) != 1 {
		t.Error("a refused list replaced the rules")
	}
}
