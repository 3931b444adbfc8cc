package console

import (
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/console/bulk"
	"ansim/notifier/console/staff"
	"ansim/notifier/console/trail"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	"ansim/test/leaks"
)

// TestMain fails when something still runs after all that the tests started was stopped, but for the database's own process, which
// ends with this one, and what the sessions' library leaves (see staff.NewSessions).
func TestMain(m *testing.M) {
	leaks.Main(m, goleak.IgnoreAnyFunction("ansim/test/dbtest.(*Server).Start.func1"),
		goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

const file = `
id: covid
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
sites: [{id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}]
slots: [{id: g1, site: gangnam, starts_at: 2021-07-26T10:30:00+09:00, capacity: 50}]
`

const password = "correct horse battery"

// rig is the console before a real database, with an account of each role.
type rig struct {
	t       *testing.T
	db      *sqldb.DB
	url     string
	service *booking.Service
	client  booking.Client
	log     *safeLog
	asked   *safeLog // the addresses that were asked for

	mu    sync.Mutex
	at    time.Time
	state string // of the newest text
}

type safeLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *safeLog) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *safeLog) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func (r *rig) now() time.Time        { r.mu.Lock(); defer r.mu.Unlock(); return r.at }
func (r *rig) later(d time.Duration) { r.mu.Lock(); defer r.mu.Unlock(); r.at = r.at.Add(d) }
func (r *rig) texts(state string)    { r.mu.Lock(); defer r.mu.Unlock(); r.state = state }

func each(t *testing.T, fn func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
		r := &rig{t: t, log: &safeLog{}, asked: &safeLog{}, state: "delivered", at: time.Date(2021, 7, 20, 3, 0, 0, 0, time.UTC)}
		r.db = open(t, sqldb.Options{Now: r.now})
		r.begin()
		fn(t, r)
		for _, s := range []string{r.log.String(), r.asked.String()} {
			if strings.Contains(s, "홍길동") || strings.Contains(s, "12345678") || strings.Contains(s, "1967-05") || strings.Contains(s, password) {
				t.Errorf("something personal is in a log or an address:\n%s", s)
			}
		}
	})
}

func (r *rig) begin() {
	t, ctx := r.t, r.t.Context()
	ids, err := booking.OpenIdentities(ctx, r.db, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := booking.ApplyProgramme(ctx, r.db, p, booking.ApplyOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	key, err := booking.CreateKey(ctx, r.db, booking.KeySpec{Name: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	keys := booking.NewKeys(r.db, nil)
	t.Cleanup(keys.Stop)
	if r.client, err = keys.Authenticate(ctx, key); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.service = booking.NewService(r.db, ids, booking.Options{Look: r.look, Log: log})
	t.Cleanup(r.service.Stop)
	for _, role := range staff.Roles {
		if err := staff.Add(ctx, r.db, "cli:test", "the-"+string(role), role, password); err != nil {
			t.Fatal(err)
		}
	}
	r.url = r.console("")
}

// look says of every text what the test wants.
func (r *rig) look(_ context.Context, _ *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]map[event.Recipient]booking.NewestText{}
	for _, id := range ids {
		out[id] = map[event.Recipient]booking.NewestText{event.Resident: {Version: 100, State: r.state}, event.Booker: {Version: 100, State: r.state}}
	}
	return out, nil
}

func (r *rig) desk() *bulk.Desk { return &bulk.Desk{DB: r.db, Parked: r.parked(), Look: r.look} }

// fails makes the text of a reservation one that failed.
func (r *rig) fails(reservation, reason string) {
	r.t.Helper()
	r.stands(reservation, "failed", "person", reason)
}

// stands makes a text of a reservation that stands so, with what is due for it.
func (r *rig) stands(reservation, state, job, reason string) {
	r.t.Helper()
	id, at := uuid.NewString(), sqldb.At(r.now())
	if err := r.db.Write(r.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, reason, event_at, created_at, updated_at)
			VALUES (?, ?, ?, 1, 'confirmation', 'resident', ?, ?, ?, ?, ?)`, id, uuid.NewString(), reservation, state, reason, at, at, at); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO message_queue (message_id, job, priority, due_at, since) VALUES (?, ?, 0, ?, ?)`, id, job, sqldb.At(r.now().Add(time.Minute)), sqldb.At(r.now().Add(time.Minute)))
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
}

// parked is what cannot go on, as the programs have it.
func (r *rig) parked() *notifier.Parked {
	return &notifier.Parked{DB: r.db, Directory: func(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]notifier.Appointment, error) {
		found, err := booking.Appointments(ctx, tx, ids, lock)
		out := map[string]notifier.Appointment{}
		for id, a := range found {
			out[id] = notifier.Appointment(a)
		}
		return out, err
	}, Resend: func(ctx context.Context, q notifier.ResendRequest) error {
		_, err := booking.Resend(ctx, r.db, func(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
			if err := q.Check(ctx, tx); err != nil {
				return nil, err
			}
			return r.look(ctx, tx, ids)
		}, booking.ResendOrder{ReservationID: q.ReservationID, Recipients: []event.Recipient{q.Recipient}, Reason: q.Reason, By: q.By, EvenIfUnknown: q.EvenIfUnknown, NoCoolDown: true})
		return err
	}}
}

// console starts one more, as another process would; demo is the account that signs in by one click.
func (r *rig) console(demo string) string {
	r.t.Helper()
	c, err := New(r.options(demo))
	if err != nil {
		r.t.Fatal(err)
	}
	server := httptest.NewServer(c)
	r.t.Cleanup(server.Close)
	return server.URL
}

func (r *rig) options(demo string) Options {
	return Options{DB: r.db, Service: r.service, Desk: r.desk(),
		Waiting: func(ctx context.Context) (notifier.Backlog, error) { return notifier.Waiting(ctx, r.db) },
		Explain: func(reason, _ string) string { s, _ := notifier.Explain(reason); return s.Ko },
		Network: func(*http.Request) string { return "192.0.2.1" }, Demo: demo, Now: r.now,
		Log: slog.New(slog.NewTextHandler(r.log, nil))}
}

func (r *rig) book(identity string) booking.Reservation {
	r.t.Helper()
	reply, err := r.service.Book(r.t.Context(), booking.Call{Client: r.client, Key: identity, Route: "test"},
		booking.BookRequest{SlotID: "g1", Identity: identity, Name: "홍길동", BirthDate: "1967-05-05", Phone: "+821012345678", Language: "ko", Reference: "ref-" + identity})
	if err != nil {
		r.t.Fatal(err)
	}
	return reply.Reservation
}

// browser is one person's, with their cookies.
type browser struct {
	*rig
	client *http.Client
	url    string
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &browser{r, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, r.url}
}

// signedIn is the browser of an account.
func (r *rig) signedIn(role staff.Role) *browser {
	r.t.Helper()
	b := r.browser()
	if a := b.post("/console/sign-in", "name", "the-"+string(role), "password", password); a.code != 303 {
		r.t.Fatalf("sign in: %d\n%s", a.code, a.body)
	}
	return b
}

type answer struct {
	code   int
	body   string
	header http.Header
}

func (b *browser) ask(method, path string, fields url.Values, headers ...string) answer {
	b.t.Helper()
	_, _ = io.WriteString(b.asked, path+"\n")
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = io.WriteString(b.asked, resp.Header.Get("Location")+"\n")
	if len(body) > 50_000 {
		b.t.Errorf("%s has %d bytes", path, len(body))
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.ask(http.MethodGet, path, nil) }

func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return b.ask(http.MethodPost, path, v)
}

func (b *browser) says(a answer, code int, parts ...string) {
	b.t.Helper()
	if a.code != code {
		b.t.Errorf("status %d, want %d: %s", a.code, code, a.header.Get("Location"))
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) && !strings.Contains(html.UnescapeString(a.body), p) {
			b.t.Errorf("it does not say %q:\n%s", p, a.body)
		}
	}
}

// Each route is asked for by each role, and by who is not signed in: what the table says holds, and nothing is there without a
// row.
func TestRolesAndRoutes(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book("one")
		for _, rt := range append(slices.Clone(routes), moving...) {
			if rt.least == "" {
				continue
			}
			method, path, _ := strings.Cut(rt.pattern, " ")
			path = strings.ReplaceAll(path, "{id}", res.ID)
			if a := r.browser().ask(method, path, url.Values{}); a.code != http.StatusUnauthorized || !strings.Contains(a.body, `name="password"`) {
				t.Errorf("%s, nobody: %d", rt.pattern, a.code)
			}
		}
		for _, role := range staff.Roles {
			b := r.signedIn(role)
			for _, rt := range append(slices.Clone(routes), moving...) {
				if rt.least == "" {
					continue
				}
				method, path, _ := strings.Cut(rt.pattern, " ")
				a := b.ask(method, strings.ReplaceAll(path, "{id}", res.ID), url.Values{})
				if refused := a.code == http.StatusForbidden; refused == role.May(rt.least) || a.code >= 500 {
					t.Errorf("%s, %s: %d", rt.pattern, role, a.code)
				}
			}
		}
		b := r.signedIn(staff.Admin)
		for _, path := range []string{"/console/nowhere", "/console/sign-in/demo", "/console/reservations/x", "/console/reservations/" + strings.Repeat("0", 36)} {
			if a := b.get(path); a.code != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.code)
			}
		}
		if a := r.browser().post("/console/sign-in/demo"); a.code != http.StatusNotFound {
			t.Errorf("one click signs in: %d", a.code)
		}
	})
}

func TestSignInAndOut(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.says(b.post("/console/sign-in", "name", "the-agent", "password", "wrong"), 422, saysRefused.Ko, `value="the-agent"`)
		b.get("/console?lang=ko") // what the switch was set to is in a session, before anybody is signed in
		before := b.client.Jar.Cookies(must(url.Parse(b.url + "/console")))
		a := b.post("/console/sign-in", "name", "THE-agent", "password", password, "then", "/console/attention")
		if a.code != 303 || a.header.Get("Location") != "/console/attention" {
			t.Errorf("%d, to %q", a.code, a.header.Get("Location"))
		}
		after := b.client.Jar.Cookies(must(url.Parse(b.url + "/console")))
		if len(after) != 1 || len(before) != 1 || before[0].Value == after[0].Value {
			t.Error("the token is the one from before the sign-in")
		}
		if c := a.header.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") || !strings.Contains(c, "Path=/console") {
			t.Errorf("cookie %q", c)
		}
		for _, then := range []string{"https://elsewhere.example/", "//elsewhere.example/console", "/console/../r", "/r", "/console\\x", "/consolex", "/console//x", ""} {
			x := r.browser()
			if to := x.post("/console/sign-in", "name", "the-agent", "password", password, "then", then).header.Get("Location"); to != "/console" {
				t.Errorf("%q leads to %q", then, to)
			}
		}
		b.says(b.get("/console"), 200, "the-agent")
		if err := staff.SetRole(t.Context(), r.db, "cli:test", "the-agent", staff.Viewer); err != nil {
			t.Fatal(err)
		}
		// By a clock that stands still a change is not after the sign-in.
		r.later(time.Second)
		if err := staff.SetRole(t.Context(), r.db, "cli:test", "the-agent", staff.Agent); err != nil {
			t.Fatal(err)
		}
		b.says(b.get("/console"), 401)
		c := r.signedIn(staff.Viewer)
		c.says(c.post("/console/sign-out"), 303)
		c.says(c.get("/console"), 401)
		if a := c.ask("POST", "/console/sign-in", url.Values{}, "Sec-Fetch-Site", "cross-site"); a.code != 403 {
			t.Errorf("another site signs in: %d", a.code)
		}
		demo := &browser{r, r.browser().client, r.console("the-agent")}
		demo.says(demo.get("/console"), 401, "체험용 계정으로 로그인")
		demo.says(demo.post("/console/sign-in/demo"), 303)
		demo.says(demo.get("/console"), 200, "the-agent")
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFind(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book("one")
		b := r.signedIn(staff.Viewer)
		here := "/console/reservations/" + res.ID
		for _, q := range []string{res.Code, strings.ToLower(booking.FormatCode(res.Code)), "010-1234-5678", "+82 10 1234 5678", "01012345678", "홍길동", " 홍길동 ", "ref-one"} {
			if a := b.post("/console/search", "q", q); a.code != 303 || a.header.Get("Location") != here {
				t.Errorf("%q: %d, to %q", q, a.code, a.header.Get("Location"))
			}
		}
		b.says(b.post("/console/search", "q", "nobody"), 200, words["none"].Ko, `value="nobody"`)
		b.says(b.post("/console/search", "q", " "), 422, saysSearch.Ko)
		r.book("two")
		b.says(b.post("/console/search", "q", "홍길동"), 200, here, words["found"].Ko)
		for i := range 25 {
			r.book("more" + string(rune('a'+i)))
		}
		if a := b.post("/console/search", "q", "홍길동"); strings.Count(a.body, "/console/reservations/") != foundMost || !strings.Contains(a.body, words["more"].Ko) {
			t.Errorf("%d are shown", strings.Count(a.body, "/console/reservations/"))
		}
		b.says(b.get(here), 200, "홍길동", "+821012345678", "1967-05-05", "강남구보건소", "예약했습니다")
		if a := b.get(here); strings.Contains(a.body, "/resend") {
			t.Error("a viewer is offered what they may not do")
		}
	})
}

// nonceOf is that of the form for an action.
func nonceOf(t *testing.T, a answer, action string) string {
	t.Helper()
	m := regexp.MustCompile(`(?s)action="[^"]*/` + action + `"[^>]*><input type="hidden" name="nonce" value="([^"]+)"`).FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("no form for %s:\n%s", action, a.body)
	}
	return m[1]
}

func TestActions(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book("one")
		here := "/console/reservations/" + res.ID
		b, other := r.signedIn(staff.Agent), r.signedIn(staff.Agent)
		shown, shownToo := b.get(here), other.get(here)
		b.says(b.post(here+"/resend", "nonce", nonceOf(t, shown, "resend"), "reason", ""), 422, saysReason.Ko)
		b.says(b.post(here+"/resend", "nonce", nonceOf(t, shown, "resend"), "reason", "called"), 409, "12:01:00부터 다시 보낼 수 있습니다", `value="called"`)
		r.later(2 * time.Minute)
		r.texts("unknown")
		unsure := b.post(here+"/resend", "nonce", nonceOf(t, shown, "resend"), "reason", "called")
		b.says(unsure, 409, "두 번 갈 수 있습니다", words["even"].Ko)
		r.texts("delivered")
		b.says(b.post(here+"/resend", "nonce", nonceOf(t, shown, "resend"), "reason", "called"), 303)
		b.says(b.post(here+"/resend", "nonce", nonceOf(t, shown, "resend"), "reason", "called"), 303) // pressed twice
		other.says(other.post(here+"/resend", "nonce", nonceOf(t, shownToo, "resend"), "reason", "called, too"), 409, "조금 전에 문자를 보냈습니다", "staff:the-agent")
		b.says(b.get(here), 200, words["resent"].Ko, "called")
		if got, err := r.service.Get(t.Context(), r.client, res.ID); err != nil || got.Resends.Resident != 1 {
			t.Errorf("%d resends, %v", got.Resends.Resident, err)
		}
		b.says(b.post(here+"/contact", "nonce", "n1", "version", "1", "name", "홍길동", "phone", "12"), 422, saysPhone.Ko, `value="12"`)
		b.says(b.post(here+"/contact", "nonce", "n1", "version", "1", "name", "홍 길순", "phone", "010-8765-4321"), 303)
		other.says(other.post(here+"/contact", "nonce", "n2", "version", "1", "name", "홍길동", "phone", "010-1111-2222"), 409, "그 사이에 예약이 바뀌어", "홍 길순")
		b.says(b.post(here+"/note", "nonce", "not-a-UUID", "note", "will call back"), 303)
		b.says(b.get(here), 200, "will call back", "the-agent", "821087654321")
		b.says(b.post(here+"/note", "note", ""), 422)
		for _, action := range []string{"resend", "contact", "cancel", "note"} { // a form without its nonce is not done, and says so
			b.says(b.post(here+"/"+action, "reason", "x", "name", "홍길동", "phone", "010-1234-5678", "sure", "yes", "note", "x"), 422, saysAgain.Ko)
		}
		b.says(b.post(here+"/cancel", "nonce", "n3", "version", "2"), 422, saysSure.Ko)
		b.says(b.post(here+"/cancel", "nonce", "n3", "version", "2", "sure", "yes"), 303)
		b.says(b.get(here), 200, words["is-cancelled"].Ko)
		other.says(other.post(here+"/cancel", "nonce", "n4", "version", "2", "sure", "yes"), 409, "이미 취소되었거나")
		if v, err := trail.Verify(t.Context(), r.db); err != nil || v.Bad != 0 {
			t.Errorf("%+v, %v", v, err)
		}
		entries, err := trail.Read(t.Context(), r.db, res.ID, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		did := map[trail.Action]int{}
		for _, e := range entries {
			did[e.Action]++
			if e.Actor != "staff:the-agent" || strings.Contains(e.Detail, "홍") || strings.Contains(e.Detail, "010") {
				t.Errorf("%+v", e)
			}
		}
		for _, a := range []trail.Action{trail.Viewed, trail.Resent, trail.Corrected, trail.Noted, trail.Cancelled} {
			if did[a] == 0 {
				t.Errorf("%s is not in the trail: %v", a, did)
			}
		}
		boss := r.signedIn(staff.Supervisor)
		boss.says(boss.get("/console/trail"), 200, "staff:the-agent", "cancelled")
		boss.says(boss.get("/console/trail?before=5"), 200, "staff-added")
		boss.says(boss.get("/console/attention"), 200, words["attention-0"].Ko)
	})
}

// What a form held when the session had ended is there after signing in, and is done when its owner goes on.
func TestNothingIsLostToASessionThatEnded(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book("one")
		here := "/console/reservations/" + res.ID
		b := r.browser()
		a := b.post(here+"/note", "nonce", "01a21d8e-3ffe-735f-a8ca-fd6f540b308e", "note", "a <long> story")
		b.says(a, 401, words["kept"].Ko)
		keep := regexp.MustCompile(`name="keep" value="([^"]*)"`).FindStringSubmatch(a.body)[1]
		keep = html.UnescapeString(keep)
		b.says(b.post("/console/sign-in", "name", "the-agent", "password", "wrong", "then", here+"/note", "keep", keep), 422, "a+%3Clong%3E+story")
		resumed := b.post("/console/sign-in", "name", "the-agent", "password", password, "then", here+"/note", "keep", keep)
		b.says(resumed, 200, words["resume"].Ko, `value="a &lt;long&gt; story"`, `action="`+here+`/note"`)
		b.says(b.post(here+"/note", "nonce", "01a21d8e-3ffe-735f-a8ca-fd6f540b308e", "note", "a <long> story"), 303)
		b.says(b.post(here+"/note", "nonce", "01a21d8e-3ffe-735f-a8ca-fd6f540b308e", "note", "a <long> story"), 303)
		if n := strings.Count(b.get(here).body, "a &lt;long&gt; story"); n != 1 {
			t.Errorf("%d notes", n)
		}
		elsewhere := r.browser().post("/console/sign-in", "name", "the-agent", "password", password, "then", "https://elsewhere.example/", "keep", keep)
		if elsewhere.code != 303 || elsewhere.header.Get("Location") != "/console" {
			t.Errorf("what was entered goes to %q", elsewhere.header.Get("Location"))
		}
	})
}

// Every word is there in both languages, and every one is used.
func TestWords(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"resent": true, "corrected": true, "cancelled": true, "noted": true} // by the program
	for _, k := range []string{"not-found", "not-allowed", "busy", "broken", "foreign", "unclear", "nothing-left", "no-run"} {
		used[k], used[k+"-s"] = true, true
	}
	for prefix, names := range map[string]string{
		"about-": "item cause all all-events all-texts slot", "run-": "begun running paused stopped done failed", "provider-": "ok throttled away refused none frozen", "trouble-": "unknown undelivered",
		"outcome-": "may-have-arrived permanent gone superseded past sent-again no-reservation pending cool-down", "cha": "rt",
	} {
		for _, name := range strings.Fields(names) {
			used[prefix+name] = true
		}
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\{\{t "([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for k, w := range words {
		if w.Ko == "" || w.En == "" {
			t.Errorf("%s is missing in a language", k)
		}
		if !used[k] {
			t.Errorf("nobody says %s", k)
		}
	}
	for k := range used {
		if _, ok := words[k]; !ok {
			t.Errorf("there are no words for %s", k)
		}
	}
}
