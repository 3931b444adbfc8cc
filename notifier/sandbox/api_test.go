package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ansim/notifier/sandbox"
	"ansim/test/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// network is a sandbox behind a real listener, with quick phones.
type network struct {
	*sandbox.Server
	http   *httptest.Server
	client *http.Client
}

func quick(o sandbox.Options) sandbox.Options {
	if o.SentAfter[1] == 0 {
		o.SentAfter = [2]time.Duration{time.Millisecond, 2 * time.Millisecond}
		o.DeliveredAfter = [2]time.Duration{3 * time.Millisecond, 6 * time.Millisecond}
	}
	return o
}

func start(t testing.TB, o sandbox.Options) *network {
	t.Helper()
	s, err := sandbox.New(quick(o))
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Server: s, http: httptest.NewServer(s), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	t.Cleanup(func() {
		n.client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		n.http.Close()
	})
	return n
}

func (n *network) url(path string) string {
	return n.http.URL + "/2010-04-01/Accounts/" + n.AccountSID() + path
}

func (n *network) request(t testing.TB, method, url string, form url.Values) *http.Request {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.SetBasicAuth(n.AccountSID(), n.AuthToken())
	return req
}

// do gives the status and the JSON body of an answer.
func (n *network) do(t testing.TB, req *http.Request) (int, map[string]any) {
	t.Helper()
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return resp.StatusCode, out
}

func text(to string, more ...string) url.Values {
	v := url.Values{"To": {to}, "From": {sandbox.DefaultFrom}, "Body": {"[백신예약] 홍길동님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

func (n *network) send(t testing.TB, form url.Values) (int, map[string]any) {
	t.Helper()
	return n.do(t, n.request(t, http.MethodPost, n.url("/Messages.json"), form))
}

func (n *network) get(t testing.TB, path string) (int, map[string]any) {
	t.Helper()
	return n.do(t, n.request(t, http.MethodGet, n.http.URL+path, nil))
}

// soon ends what a test waits for in vain; nothing is decided by its length.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestCreateAndFetch(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	status, m := n.send(t, text("+821012345678"))
	sid, _ := m["sid"].(string)
	if status != 201 || len(sid) != 34 || !strings.HasPrefix(sid, "SM") {
		t.Fatalf("status %d, %v", status, m)
	}
	for name, want := range map[string]any{
		"status": "queued", "direction": "outbound-api", "num_segments": "1", "num_media": "0", "error_code": nil, "error_message": nil, "date_sent": nil,
		"messaging_service_sid": nil, "price": nil, "api_version": "2010-04-01", "account_sid": n.AccountSID(), "to": "+821012345678", "from": sandbox.DefaultFrom,
		"uri": "/2010-04-01/Accounts/" + n.AccountSID() + "/Messages/" + sid + ".json",
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if _, err := time.Parse(time.RFC1123Z, m["date_created"].(string)); err != nil {
		t.Error(err)
	}
	if err := n.WaitFinal(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	status, m = n.get(t, m["uri"].(string))
	if status != 200 || m["status"] != "delivered" || m["date_sent"] == nil {
		t.Fatalf("status %d, %v", status, m)
	}
	if status, m = n.get(t, "/2010-04-01/Accounts/"+n.AccountSID()+"/Messages/SM00000000000000000000000000000000.json"); status != 404 || m["code"] != 20404.0 {
		t.Fatalf("status %d, %v", status, m)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{Senders: []string{sandbox.DefaultFrom, "+15005550008", "1588"}})
	for _, c := range []struct {
		form         url.Values
		status, code int
	}{
		{text(""), 400, 21604},
		{text("01012345678"), 400, 21211},
		{text("+82abc"), 400, 21211},
		{text("+15005550001"), 400, 21211},
		{text("+15005550002"), 400, 21612},
		{text("+15005550003"), 400, 21408},
		{text("+15005550004"), 400, 21610},
		{text("+15005550009"), 400, 21614},
		{text("+821012345678", "Body", ""), 400, 21602},
		{text("+821012345678", "Body", strings.Repeat("가", 1601)), 400, 21617},
		{text("+821012345678", "Body", strings.Repeat("가", 1600)), 201, 0},
		{text("+821012345678", "From", ""), 400, 21603},
		{text("+821012345678", "From", "1588"), 201, 0},
		{text("+821012345678", "From", "+15005550001"), 400, 21212},
		{text("+821012345678", "From", "+15005550007"), 400, 21606},
		{text("+821012345678", "From", "+15005550008"), 429, 21611},
		{text("+821012345678", "From", "+12025550123"), 400, 21606},
		{text("+15005550006", "From", "+15005550006"), 400, 21266},
		{text("+821012345678", "From", "", "MessagingServiceSid", "nonsense"), 404, 21701},
		{text("+821012345678", "StatusCallback", "http://example.com/x"), 400, 21609},
		{text("+821012345678", "StatusCallback", "http://169.254.169.254/x"), 400, 21609},
		{text("+821012345678", "ValidityPeriod", "0"), 400, 20001},
		{text("+82 10-1234-5678", "ValidityPeriod", "14400"), 201, 0},
	} {
		status, m := n.send(t, c.form)
		code, _ := m["code"].(float64)
		if status != c.status || int(code) != c.code {
			t.Errorf("%.80v: %d %v, want %d %d", c.form, status, m, c.status, c.code)
		}
		if c.code != 0 && (m["more_info"] != fmt.Sprintf("https://www.twilio.com/docs/errors/%d", c.code) || m["message"] == "" || m["status"] != float64(c.status)) {
			t.Errorf("not Twilio's form of an error: %v", m)
		}
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{AccountSID: "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", AuthToken: "right"})
	for name, change := range map[string]func(*http.Request){
		"none":          func(r *http.Request) { r.Header.Del("Authorization") },
		"token":         func(r *http.Request) { r.SetBasicAuth(n.AccountSID(), "wrong") },
		"user":          func(r *http.Request) { r.SetBasicAuth("AC0", "right") },
		"other account": func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "ACaa", "ACbb", 1) },
	} {
		req := n.request(t, http.MethodPost, n.url("/Messages.json"), text("+821012345678"))
		change(req)
		if status, m := n.do(t, req); status != 401 || m["code"] != 20003.0 {
			t.Errorf("%s: %d %v", name, status, m)
		}
	}
	if len(n.Texts()) != 0 {
		t.Error("a text was taken without credentials")
	}
}

func TestMessagingService(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	status, m := n.send(t, text("+821012345678", "From", "", "MessagingServiceSid", "MG0123456789abcdef0123456789abcdef"))
	if status != 201 || m["status"] != "accepted" || m["from"] != nil || m["num_segments"] != "0" || m["messaging_service_sid"] == nil {
		t.Fatalf("%d %v", status, m)
	}
}

func TestEveryPostIsATextAndIdempotencyKeysAreViolations(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	for range 2 {
		req := n.request(t, http.MethodPost, n.url("/Messages.json"), text("+821012345678"))
		req.Header.Set("Idempotency-Key", "same")
		if status, m := n.do(t, req); status != 201 {
			t.Fatalf("%d %v", status, m)
		}
	}
	if got := n.Stats(); got.Taken != 2 || got.SameTwice != 1 || got.Violations != 2 {
		t.Errorf("%+v", got)
	}
	if _, m := n.get(t, "/sandbox/violations"); m["count"] != 2.0 || m["violations"].([]any)[0].(map[string]any)["sid"] == nil {
		t.Errorf("%v", m)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	for i := range 7 {
		n.send(t, text("+821012345678", "Body", fmt.Sprint("text ", i)))
		n.send(t, text("+821000000001"))
	}
	var bodies []string
	path := "/2010-04-01/Accounts/" + n.AccountSID() + "/Messages.json?To=%2B821012345678&PageSize=3"
	var pages []map[string]any
	for path != "" {
		status, m := n.get(t, path)
		if status != 200 {
			t.Fatal(status, m)
		}
		pages = append(pages, m)
		for _, x := range m["messages"].([]any) {
			bodies = append(bodies, x.(map[string]any)["body"].(string))
		}
		path, _ = m["next_page_uri"].(string)
	}
	if got := strings.Join(bodies, ","); got != "text 6,text 5,text 4,text 3,text 2,text 1,text 0" || len(pages) != 3 {
		t.Fatalf("%d pages: %s", len(pages), got)
	}
	_, back := n.get(t, pages[1]["previous_page_uri"].(string))
	if got := back["messages"].([]any)[0].(map[string]any)["body"]; got != "text 6" || pages[0]["previous_page_uri"] != nil {
		t.Errorf("the page before begins with %v", got)
	}
	if status, m := n.get(t, "/2010-04-01/Accounts/"+n.AccountSID()+"/Messages.json?PageSize=1001"); status != 400 || m["code"] != 20007.0 {
		t.Errorf("%d %v", status, m)
	}
	if status, _ := n.get(t, "/2010-04-01/Accounts/"+n.AccountSID()+"/Messages.json?PageToken=PASMnone"); status != 400 {
		t.Errorf("an unknown token: %d", status)
	}
}

func TestDateSentHidesQueuedTexts(t *testing.T) {
	t.Parallel()
	hour := [2]time.Duration{time.Hour, time.Hour + 1}
	n := start(t, sandbox.Options{SentAfter: hour, DeliveredAfter: hour, Now: time.Now})
	n.send(t, text("+821012345678"))
	base := "/2010-04-01/Accounts/" + n.AccountSID() + "/Messages.json"
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	for query, want := range map[string]int{"": 1, "?DateSent%3E=" + day: 0, "?To=%2B821012345678": 1, "?From=%2B1": 0} {
		if _, m := n.get(t, base+query); len(m["messages"].([]any)) != want {
			t.Errorf("%q lists %v, want %d", query, m["messages"], want)
		}
	}
	sent := start(t, sandbox.Options{})
	sent.send(t, text("+821012345678"))
	if err := sent.WaitFinal(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"?DateSent%3E=" + day: 1, "?DateSent%3C=" + day: 0, "?DateSent=2001-01-01": 0} {
		if _, m := sent.get(t, base+query); len(m["messages"].([]any)) != want {
			t.Errorf("%q lists %v, want %d", query, m["messages"], want)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 1, strings.Repeat("a", 160): 1, strings.Repeat("a", 161): 2, strings.Repeat("€", 80): 1, strings.Repeat("€", 81): 2,
		strings.Repeat("가", 70): 1, strings.Repeat("가", 71): 2, strings.Repeat("가", 134): 2, strings.Repeat("가", 135): 3, strings.Repeat("😀", 36): 2,
		strings.Repeat("a", 69) + "가": 1,
	} {
		if got := sandbox.Segments(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
