package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	kafkatest "ansim/test/kafka"
)

// canaries are what names a person, in every form in which it could get out: as it is, as it is entered, in parts; but nothing so
// short that a time or an id may hold it by chance.
var canaries = []string{"남궁카나", "황보카나", "카나리아", "55512345", "5551-2345", "55598765", "5559-8765", "1967-08-17", "CANARYREF", "canary-identity",
	"%EB%82%A8%EA%B6%81"}

// walker is a person in a browser, who notes every address.
type walker struct {
	t         *testing.T
	client    *http.Client
	base      string
	addresses []string
	secret    []string // more that names the person
}

func (in *installation) walker() *walker {
	in.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		in.t.Fatal(err)
	}
	w := &walker{t: in.t.(*testing.T), base: in.front.url}
	w.client = &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		w.addresses = append(w.addresses, r.URL.String())
		return nil
	}}
	return w
}

// page is an answer: its status, and what it says.
type page struct {
	status int
	body   string
}

func (w *walker) send(method, path, body string, headers ...string) page {
	w.t.Helper()
	w.addresses = append(w.addresses, path)
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range resp.Header {
		w.silent("the header "+name+" of "+method+" "+path, strings.Join(values, "\n"))
	}
	return page{resp.StatusCode, string(b)}
}

func (w *walker) get(path string) page { w.t.Helper(); return w.send(http.MethodGet, path, "") }

// form sends one; its nonce is added.
func (w *walker) form(path string, fields ...string) page {
	w.t.Helper()
	v := url.Values{"nonce": {"018f3c5e-7b1a-7c3d-9e2f-" + strings.Repeat("0", 8) + strings.ToLower(regexp.MustCompile(`[^0-9a-f]`).ReplaceAllString(path+"0000", ""))[:4]}}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return w.send(http.MethodPost, path, v.Encode())
}

// is wants a status.
func (w *walker) is(p page, status int) page {
	w.t.Helper()
	if p.status != status {
		w.t.Errorf("status %d, want %d:\n%s", p.status, status, p.body)
	}
	return p
}

// reached wants that a page was there, whatever it had to say.
func (w *walker) reached(p page) {
	w.t.Helper()
	if p.status == http.StatusNotFound || p.status == http.StatusMethodNotAllowed || p.status >= 500 {
		w.t.Errorf("status %d:\n%s", p.status, p.body)
	}
}

// anonymous wants a status, and that the page, which tells of an error, names nobody.
func (w *walker) anonymous(p page, status int) {
	w.t.Helper()
	w.is(p, status)
	w.silent("a page of status "+http.StatusText(status), p.body)
}

// silent wants that a text names nobody.
func (w *walker) silent(where, text string) {
	w.t.Helper()
	for _, c := range append(canaries, w.secret...) {
		if strings.Contains(text, c) {
			w.t.Errorf("%s holds %q:\n%s", where, c, tail(text))
		}
	}
}

// Somebody with a name that is easily found books, is looked up, moved, corrected, texted and worked on, on every page and with every
// mistake; nothing of them is then in an address, a header, an error page, a log, a figure, a record of the topic, the trail, or
// what the commands print.
func TestNothingPersonalGetsOut(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Start(t)
	in := onServers(t, broker)
	service := in.serve("api,relay,notifier")
	in.prepare()
	in.fault(`[{"match":{"to":"55598765"},"answer":"400:21211"}]`) // the booker's number is refused: an error with a reason
	a := in.mustPost(http.StatusCreated, "/v1/reservations", "canary", map[string]any{"slot_id": in.slots[0], "language": "ko", "reference": "CANARYREF",
		"resident":  map[string]string{"identity": "canary-identity", "name": "남궁카나리아", "birth_date": "1967-08-17", "phone": "010-5551-2345"},
		"booked_by": map[string]string{"name": "황보카나리아", "phone": "010-5559-8765"}})
	var booked reservation
	a.decode(t, &booked)
	added := run(t, in.env, "staff", "add", "--name", "lee", "--role", "admin", "--by", "test")
	password := strings.TrimSpace(added.stdout)
	if added.code != 0 || password == "" {
		t.Fatalf("staff add: exit %d", added.code)
	}

	w := in.walker()
	w.secret = []string{booked.Code, strings.ReplaceAll(booked.Code, "-", ""), in.key, password, secret}
	mine := []string{"code", booked.Code, "birth", "670817"}
	with := func(more ...string) []string { return append(append([]string{}, mine...), more...) }
	w.is(w.get("/r"), 200)
	w.is(w.form("/r", "code", booked.Code, "birth", "남궁카나리아"), 422)
	w.is(w.form("/r", "code", "AAAAA-AAAAA", "birth", "670817"), 404)
	w.is(w.form("/r", mine...), 200)
	w.is(w.form("/r/calendar", mine...), 200)
	w.reached(w.form("/r/again", mine...))
	w.reached(w.form("/r/move", mine...))
	w.reached(w.form("/r/move", with("slot", in.slots[1])...))
	w.reached(w.form("/r/move", with("slot", in.slots[1], "sure", "yes")...))
	w.reached(w.form("/r/cancel", mine...))
	w.is(w.get("/r/lost"), 200)
	w.reached(w.form("/r/lost", "name", "남궁카나리아", "birth", "670817", "phone", "010-5551-2345"))
	w.anonymous(w.send(http.MethodPost, "/r", "code="+strings.Repeat("남궁카나리아", 4000)), 400)
	w.anonymous(w.send(http.MethodPost, "/r", "code="+booked.Code+"&birth=670817", "Sec-Fetch-Site", "cross-site"), 403)

	w.is(w.form("/console/sign-in", "name", "남궁카나리아", "password", "남궁카나리아"), 422)
	w.is(w.form("/console/sign-in", "name", "lee", "password", password), 200)
	for _, q := range []string{booked.Code, "010-5551-2345", "남궁카나리아", "CANARYREF", "010-5559-8765"} {
		w.is(w.form("/console/search", "q", q), 200)
	}
	w.is(w.form("/console/search", "q", "남궁카나리아들"), 200)
	here := "/console/reservations/" + booked.ID
	w.is(w.get(here), 200)
	w.reached(w.form(here+"/resend", "reason", ""))
	w.reached(w.form(here+"/resend", "reason", "남궁카나리아 asked", "even", "yes"))
	w.reached(w.form(here+"/contact", "name", "남궁카나리아", "phone", "남궁카나리아"))
	w.is(w.form(here+"/contact", "name", "남궁카나리아", "phone", "010-5551-2346"), 200)
	w.is(w.form(here+"/note", "note", "남궁카나리아 010-5551-2345"), 200)
	w.reached(w.form(here + "/cancel"))
	for _, p := range []string{"/console", "/console/attention", "/console/trail", "/console/runs", "/console/live"} {
		page := w.is(w.get(p), 200)
		w.silent(p, page.body)
	}
	w.is(w.form("/console/runs/preview", "about", "slot", "target", "남궁카나리아"), 422)
	w.reached(w.form("/console/runs/preview", "about", "slot", "target", in.slots[0]))
	w.is(w.form("/console/runs", "about", "slot", "target", in.slots[1], "reason", "남궁카나리아"), 200)
	w.anonymous(w.form("/console/runs/preview", "about", "남궁카나리아"), 422)
	w.anonymous(w.get("/console/nowhere"), 404)
	w.anonymous(w.get("/console/reservations/"+strings.Repeat("0", 36)), 404)
	w.anonymous(w.send(http.MethodPost, "/console/search", "q="+strings.Repeat("남궁카나리아", 4000)), 400)
	w.anonymous(w.send(http.MethodPost, "/console/search", "q=남궁카나리아", "Sec-Fetch-Site", "cross-site"), 403)
	w.reached(w.form("/console/sign-out"))

	auth := []string{"Authorization", "Bearer " + in.key, "Content-Type", "application/json"}
	w.anonymous(w.send(http.MethodPost, "/v1/reservations", `{"resident":{"name":"남궁카나리아`, append(auth, "Idempotency-Key", "k1")...), 422)
	for _, path := range []string{"/v1/reservations", "/v1/reservations/search", "/v1/lookup", "/v1/reservations/" + booked.ID + "/contact"} {
		p := w.send(http.MethodPost, path, `{"name":"남궁카나리아","phone":"010-5551-2345","code":"남궁카나리아","birth_date":"670817x","slot_id":"남궁카나리아"}`, append(auth, "Idempotency-Key", "k2")...)
		if p.status < 400 {
			t.Errorf("%s: %d", path, p.status)
		}
		w.silent(path, p.body)
	}
	w.is(w.form("/r/cancel", with("sure", "yes")...), 200)

	for _, i := range in.settled(time.Minute).Invariants {
		if i.ID == "I11" && i.Checked < 20 {
			t.Errorf("the trail has %d entries", i.Checked)
		}
	}
	for _, at := range w.addresses {
		w.silent("an address", at)
	}
	records := readTopic(t, broker)
	if len(records) < 3 {
		t.Errorf("the topic has %d records", len(records))
	}
	for _, m := range records {
		w.silent("a record's key", string(m.Key))
		w.silent("a record", string(m.Value))
		for _, h := range m.Headers {
			w.silent("a record's header", h.Key+": "+string(h.Value))
		}
	}
	for _, path := range []string{"/metrics", "/readyz"} {
		a, err := in.page("http://" + service.addr() + path)
		if err != nil || a.status != 200 {
			t.Errorf("%s: %d, %v", path, a.status, err)
		}
		w.silent(path, string(a.body))
	}
	for _, command := range [][]string{{"check", "--json"}, {"parked", "list", "--json"}, {"parked", "redrive", "--all", "--even-permanent", "--dry-run", "--json"},
		{"audit", "list"}, {"audit", "verify"}, {"staff", "list"}, {"keys", "list"}} {
		r := run(t, in.env, command...)
		if r.code != 0 {
			t.Errorf("%v: exit %d\n%s", command, r.code, r.stderr)
		}
		w.silent("ansim "+strings.Join(command, " "), r.stdout+r.stderr)
	}
	service.stop()
	w.silent("the log", service.out.String()+service.err.String())
}
