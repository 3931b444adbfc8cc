package resident

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/page"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

const file = `
id: covid
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
sites:
  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}
  - {id: mapo, name: {ko: 마포구보건소, en: Mapo Health Center}}
slots:
  - {id: g1, site: gangnam, starts_at: 2021-07-26T10:30:00+09:00, capacity: 5}
  - {id: g2, site: gangnam, starts_at: 2021-07-26T14:00:00+09:00, capacity: 5}
  - {id: m1, site: mapo, starts_at: 2021-07-27T09:00:00+09:00, capacity: 1}
`

// rig is the pages before a real database, with the texts and the lateness that a test sets.
type rig struct {
	t       *testing.T
	url     string
	service *booking.Service
	client  booking.Client
	log     *strings.Builder
	asked   *strings.Builder // the addresses that were asked for

	mu    sync.Mutex
	at    time.Time
	state notifier.TextStatus
	late  time.Duration
	going bool
	n     int
}

func (r *rig) now() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.at }

func (r *rig) later(d time.Duration) { r.mu.Lock(); defer r.mu.Unlock(); r.at = r.at.Add(d) }

func (r *rig) text(s notifier.TextStatus, late time.Duration, going bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.late, r.going = s, late, going
}

func each(t *testing.T, fn func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
		r := &rig{t: t, at: time.Date(2021, 7, 20, 3, 0, 0, 0, time.UTC), log: &strings.Builder{}, asked: &strings.Builder{}, going: true}
		r.begin(open(t, sqldb.Options{Now: r.now}))
		fn(t, r)
		r.nothingPersonal()
	})
}

func (r *rig) begin(db *sqldb.DB) {
	t, ctx := r.t, r.t.Context()
	ids, err := booking.OpenIdentities(ctx, db, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := booking.ApplyProgramme(ctx, db, p, booking.ApplyOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	key, err := booking.CreateKey(ctx, db, booking.KeySpec{Name: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	keys := booking.NewKeys(db, nil)
	t.Cleanup(keys.Stop)
	if r.client, err = keys.Authenticate(ctx, key); err != nil {
		t.Fatal(err)
	}
	// All texts have arrived, so that the next may be asked for.
	look := func(_ context.Context, _ *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
		out := map[string]map[event.Recipient]booking.NewestText{}
		for _, id := range ids {
			out[id] = map[event.Recipient]booking.NewestText{}
			for _, to := range []event.Recipient{event.Resident, event.Booker} {
				out[id][to] = booking.NewestText{Version: 100, State: "delivered"}
			}
		}
		return out, nil
	}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.service = booking.NewService(db, ids, booking.Options{Look: look, Now: r.now, Log: log})
	t.Cleanup(r.service.Stop)
	pages := New(Options{
		Service: r.service,
		Texts: func(context.Context, string) ([]notifier.TextStatus, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return []notifier.TextStatus{r.state}, nil
		},
		Explain: func(reason, language string) string {
			if s, ok := notifier.Explain(reason); ok {
				return page.Text(s).In(page.Language(language))
			}
			return ""
		},
		Late:    func(context.Context) (time.Duration, bool) { r.mu.Lock(); defer r.mu.Unlock(); return r.late, r.going },
		Network: func(*http.Request) string { return "192.0.2.1" },
		Now:     r.now, Log: log,
	})
	t.Cleanup(pages.Stop)
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	r.url = server.URL
}

// book books for 홍길동, born on 5 May 1967, and returns the reservation.
func (r *rig) book() booking.Reservation {
	r.t.Helper()
	r.n++
	reply, err := r.service.Book(r.t.Context(), booking.Call{Client: r.client, Key: fmt.Sprint("k", r.n), Route: "test"},
		booking.BookRequest{SlotID: "g1", Identity: fmt.Sprint("person", r.n), Name: "홍길동", BirthDate: "1967-05-05", Phone: "+821012345678", Language: "ko"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.text(notifier.TextStatus{Recipient: event.Resident, Version: 1, State: notifier.Pending}, 0, true)
	return reply.Reservation
}

// answer is a page.
type answer struct {
	code   int
	body   string
	header http.Header
}

func (r *rig) ask(method, path string, fields url.Values, headers ...string) answer {
	r.t.Helper()
	fmt.Fprintln(r.asked, path)
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(fields.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(body) > 50_000 {
		r.t.Errorf("%s has %d bytes", path, len(body))
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

func (r *rig) post(path string, fields ...string) answer {
	r.t.Helper()
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return r.ask(http.MethodPost, path, v)
}

// proof are the fields of who has the code.
func proof(res booking.Reservation, more ...string) []string {
	return append([]string{"code", res.Code, "birth", "670505"}, more...)
}

func (r *rig) says(a answer, code int, parts ...string) {
	r.t.Helper()
	if a.code != code {
		r.t.Errorf("status %d, want %d", a.code, code)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			r.t.Errorf("it does not say %q:\n%s", p, a.body)
		}
	}
}

// sent fills in the form of a page whose action it is and sends it.
func (r *rig) submit(a answer, action string, more ...string) answer {
	r.t.Helper()
	for _, f := range regexp.MustCompile(`(?s)<form[^>]*action="`+regexp.QuoteMeta(action)+`"[^>]*>.*?</form>`).FindAllString(a.body, -1) {
		var fields []string
		for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(f, -1) {
			fields = append(fields, m[1], m[2])
		}
		if strings.Contains(strings.Join(fields, " "), "birth") && (action != "/r/move" || !strings.Contains(strings.Join(fields, " "), "search")) {
			return r.post(action, append(fields, more...)...)
		}
	}
	r.t.Fatalf("no form for %s:\n%s", action, a.body)
	return answer{}
}

func (r *rig) nothingPersonal() {
	r.t.Helper()
	for _, s := range []string{r.log.String(), r.asked.String()} {
		if strings.Contains(s, "홍길동") || strings.Contains(s, "12345678") || strings.Contains(s, "1967-") || strings.Contains(s, "19670505") || strings.Contains(s, "=670505") || strings.Contains(s, `"670505"`) {
			r.t.Errorf("something personal is in a log or an address:\n%s", s)
		}
	}
}

func TestBookedOrNot(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		r.says(r.ask("GET", "/r", nil), 200, `lang="ko"`, words["start"].Ko)
		r.says(r.ask("GET", "/r", nil, "Accept-Language", "en-GB,en;q=0.9"), 200, `lang="en"`, words["start"].En)
		r.says(r.ask("GET", "/r", nil, "Accept-Language", "fr"), 200, `lang="ko"`)
		r.says(r.ask("GET", "/r?lang=en", nil, "Accept-Language", "ko"), 200, `lang="en"`)
		found := r.post("/r", proof(res)...)
		r.says(found, 200, "예약되어 있습니다", "2021년 7월 26일(월) 오전 10시 30분", "6일 뒤", "강남구보건소", booking.FormatCode(res.Code), "홍**", "문자를 보내는 중입니다", "끝자리 78")
		// Nonces and codes are random, and may hold anything.
		shown := regexp.MustCompile(`name="(nonce|code)" value="[^"]*"`).ReplaceAllString(strings.ReplaceAll(found.body, booking.FormatCode(res.Code), ""), "")
		if strings.Contains(shown, "홍길동") || strings.Contains(shown, "5678") {
			t.Error("the page shows a whole name or number")
		}
		if c := found.header.Get("Cache-Control"); c != "no-store" {
			t.Errorf("it may be kept: %q", c)
		}
		r.says(r.post("/r", proof(res, "lang", "en")...), 200, "You are booked", "Monday 26 July 2021, 10:30 am", "in 6 days", "Gangnam Health Center")
		for name, c := range map[string]struct {
			code, birth string
			status      int
			says        []page.Text
		}{
			"half a code":    {"K7Q29", "670505", 422, []page.Text{{Ko: "5자리를 입력하셨습니다"}}},
			"no code":        {"", "670505", 422, []page.Text{saysCode}},
			"no date":        {res.Code, "5/5", 422, []page.Text{saysBirth}},
			"a whole number": {res.Code, "670505-1234567", 422, []page.Text{saysWhole}},
			"all wrong":      {"!", "!", 422, []page.Text{saysCode, saysBirth}},
			"another's date": {res.Code, "670506", 404, []page.Text{saysNotFound}},
			"another code":   {"00000-00000", "670505", 404, []page.Text{saysNotFound}},
			"half a century": {res.Code, "67.5.5.", 200, []page.Text{words["booked"]}},
		} {
			a := r.post("/r", "code", c.code, "birth", c.birth)
			if a.code != c.status {
				t.Errorf("%s: status %d, want %d", name, a.code, c.status)
			}
			for _, s := range c.says {
				r.says(a, c.status, s.Ko)
			}
			if c.status == 422 && c.birth != "670505-1234567" && !strings.Contains(a.body, `value="`+c.birth+`"`) {
				t.Errorf("%s: what was entered is lost", name)
			}
			if strings.Contains(a.body, "1234567") {
				t.Errorf("%s: a registration number is shown again", name)
			}
		}
	})
}

func TestGuessingEnds(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		for range 10 {
			r.says(r.post("/r", "code", res.Code, "birth", "670506"), 404)
		}
		a := r.post("/r", proof(res)...)
		r.says(a, 429, "6분 뒤에 다시 해 주세요")
		if a.header.Get("Retry-After") == "" {
			t.Error("it does not say when")
		}
		r.later(7 * time.Minute)
		r.says(r.post("/r", proof(res)...), 200)
	})
}

// What became of the text is told in plain words, and that somebody is booked also while none goes out.
func TestWhatBecameOfTheText(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		at := sqldb.At(r.now().Add(-3 * time.Minute))
		for name, c := range map[string]struct {
			text  notifier.TextStatus
			late  time.Duration
			going bool
			says  []string
		}{
			"soon":        {notifier.TextStatus{State: notifier.Pending}, time.Minute, true, []string{"문자를 보내는 중입니다"}},
			"late":        {notifier.TextStatus{State: notifier.Pending}, 25 * time.Minute, true, []string{"약 25분 늦어지고", "예약은 되어 있으니"}},
			"none go":     {notifier.TextStatus{State: notifier.Sending}, time.Hour, false, []string{"발송이 멈춰 있습니다", "예약은 되어 있으며"}},
			"unknown":     {notifier.TextStatus{State: notifier.StateUnknown, Reason: notifier.ReasonAnswerLost}, 0, true, []string{"문자가 나갔는지 확인하고 있습니다"}},
			"accepted":    {notifier.TextStatus{State: notifier.StateAccepted, AcceptedAt: &at}, 0, true, []string{"통신사에 넘겼습니다", "3분 전"}},
			"delivered":   {notifier.TextStatus{State: notifier.StateDelivered, AcceptedAt: &at, DeliveredAt: &at}, time.Hour, false, []string{"휴대전화에 도착했습니다", "3분 전"}},
			"failed":      {notifier.TextStatus{State: notifier.StateFailed, Reason: notifier.ReasonOptedOut}, 0, true, []string{"보내지 못했습니다", "수신을 거부했습니다"}},
			"held":        {notifier.TextStatus{State: notifier.StateHeld, Reason: notifier.ReasonLookupFailed}, 0, true, []string{"담당자가 문자를 확인하고"}},
			"not arrived": {notifier.TextStatus{State: notifier.StateUndelivered}, 0, true, []string{"자동으로 다시 보냅니다"}},
		} {
			c.text.Recipient, c.text.Version = event.Resident, 1
			r.text(c.text, c.late, c.going)
			a := r.post("/r", proof(res)...)
			r.says(a, 200, append(c.says, "예약되어 있습니다")...)
			if late := strings.Contains(a.body, "늦어지고") || strings.Contains(a.body, "멈춰 있습니다"); late != (name == "late" || name == "none go") {
				t.Errorf("%s: it says that texts are late: %t", name, late)
			}
		}
		for state := range status {
			for _, l := range []page.Language{page.Korean, page.English} {
				if status[state].In(l) == "" {
					t.Errorf("no words in %s for %s", l, state)
				}
			}
		}
	})
}

func TestTheTextAgain(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		shown := r.post("/r", proof(res)...)
		r.says(r.submit(shown, "/r/again"), 409, "12:01:00부터 다시 요청할 수 있습니다", "예약되어 있습니다")
		r.later(2 * time.Minute)
		r.says(r.submit(shown, "/r/again"), 200, words["again-done"].Ko)
		r.says(r.submit(shown, "/r/again"), 200, words["again-done"].Ko) // pressed twice: one text
		if got, err := r.service.Get(t.Context(), r.client, res.ID); err != nil || got.Resends.Resident != 1 {
			t.Errorf("%d resends, %v", got.Resends.Resident, err)
		}
		r.says(r.submit(r.post("/r", proof(res)...), "/r/again"), 409, "다시 요청할 수 있습니다")
	})
}

func TestCancelAsksFirst(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		asks := r.submit(r.post("/r", proof(res)...), "/r/cancel")
		r.says(asks, 200, words["cancel-ask"].Ko)
		if got, _ := r.service.Get(t.Context(), r.client, res.ID); got.Status != booking.StatusConfirmed {
			t.Fatal("it is cancelled already")
		}
		r.says(r.submit(asks, "/r/cancel"), 200, words["cancel-done"].Ko, "취소된 예약입니다")
		r.says(r.submit(asks, "/r/cancel"), 200, "취소된 예약입니다")                                           // the same form again
		r.says(r.post("/r/cancel", proof(res, "sure", "yes", "nonce", "another")...), 409, "바꿀 수 없습니다") // another tab
		r.says(r.post("/r/cancel", proof(res, "sure", "yes")...), 200, words["cancel-ask"].Ko)          // no nonce: it asks
	})
}

func TestMove(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		times := r.submit(r.post("/r", proof(res)...), "/r/move")
		r.says(times, 200, `value="g2"`, "오후 2시")
		if strings.Contains(times.body, `value="g1"`) || strings.Contains(times.body, `value="m1"`) {
			t.Error("it offers the time that there is, or another place's")
		}
		r.says(r.submit(times, "/r/move"), 422, words["pick-one"].Ko)
		r.says(r.post("/r/move", proof(res, "search", "yes", "place", "마포")...), 200, `value="mapo"`, "마포구보건소")
		r.says(r.post("/r/move", proof(res, "search", "yes", "place", "없는 곳")...), 200, words["places-none"].Ko)
		r.says(r.post("/r/move", proof(res, "site", "mapo")...), 200, `value="m1"`, "마포구보건소")
		r.says(r.post("/r/move", proof(res, "site", "<b>")...), 409)
		asks := r.post("/r/move", proof(res, "slot", "m1")...)
		r.says(asks, 200, words["move-ask"].Ko, "2021년 7월 27일(화) 오전 9시", "마포구보건소")
		r.says(r.post("/r/move", proof(res, "slot", "none")...), 409, "그 시간은 이제 없습니다")
		old := r.post("/r/move", proof(res, "slot", "g2")...)
		r.says(r.submit(asks, "/r/move"), 200, words["move-done"].Ko, "마포구보건소")
		r.says(r.submit(asks, "/r/move"), 200, words["move-done"].Ko) // the same form again
		r.says(r.submit(old, "/r/move"), 409, "그 사이에 예약이 바뀌어", "마포구보건소")
		r.says(r.post("/r/move", proof(r.book(), "slot", "m1", "sure", "yes", "nonce", "n1")...), 409, "방금 마감되었습니다")
		r.later(5 * 24 * time.Hour)
		r.says(r.post("/r/move", proof(res)...), 409, "예약 기간이 끝나 바꿀 수 없습니다")
		r.later(5 * 24 * time.Hour)
		r.says(r.post("/r", proof(res)...), 200, "지난 예약입니다")
		r.says(r.post("/r/move", proof(res)...), 409, "바꿀 수 없습니다")
	})
}

func TestCalendar(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		a := r.post("/r/calendar", proof(res)...)
		r.says(a, 200, "DTSTART:20210726T013000Z", "UID:"+res.ID, "LOCATION:강남구보건소", booking.FormatCode(res.Code))
		if strings.Contains(a.body, "홍") || a.header.Get("Content-Type") != "text/calendar; charset=utf-8" {
			t.Errorf("%s\n%s", a.header, a.body)
		}
	})
}

// Who has lost the code is answered alike whether or not there is such a person, and the text goes out only when there is.
func TestLostCode(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		r.later(2 * time.Minute)
		r.says(r.post("/r/lost", "name", "", "birth", "x", "phone", "12"), 422, saysName.Ko, saysBirth.Ko, saysPhone.Ko)
		none := r.post("/r/lost", "name", "김아무", "birth", "670505", "phone", "010 1234 5678")
		found := r.post("/r/lost", "name", "홍 길동", "birth", "1967년 5월 5일", "phone", "+82 10-1234-5678")
		if none.body != found.body || none.code != found.code || none.code != 200 {
			t.Errorf("told apart: %d %d\n%s\n%s", none.code, found.code, none.body, found.body)
		}
		await(t, func() bool {
			got, err := r.service.Get(t.Context(), r.client, res.ID)
			return err == nil && got.Resends.Resident == 1
		})
	})
}

// await asks until it is so; what it waits for is done in the background.
func await(t *testing.T, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it did not come about")
		}
	}
}

func TestGuarded(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book()
		fields := url.Values{"code": {res.Code}, "birth": {"670505"}, "sure": {"yes"}, "nonce": {"n"}}
		r.says(r.ask("POST", "/r/cancel", fields, "Sec-Fetch-Site", "cross-site"), 403, words["foreign"].Ko)
		r.says(r.ask("POST", "/r/cancel", fields, "Origin", "https://elsewhere.example"), 403)
		if got, _ := r.service.Get(t.Context(), r.client, res.ID); got.Status != booking.StatusConfirmed {
			t.Fatal("another site has cancelled it")
		}
		a := r.ask("GET", "/r", nil)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %q", csp)
		}
		r.says(r.ask("GET", "/r/cancel", nil), 303)
		r.says(r.ask("POST", "/r", url.Values{"code": {strings.Repeat("x", page.MaxForm)}}), 400)
		if strings.Contains(a.body, "<script") || strings.Contains(a.body, "style=") || strings.Contains(a.body, "http://") {
			t.Errorf("scripts, styles or addresses in the page:\n%s", a.body)
		}
		r.says(r.post("/r", "code", `"><script>alert(1)</script>`, "birth", "<b>"), 422, "&lt;script&gt;")
	})
}

// Every word is there in both languages, and every one is used.
func TestWords(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\{\{(?:if [^}]*\}\}\{\{)?t "([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for _, k := range []string{"booked", "cancelled", "past", "busy", "busy-lead", "broken", "broken-lead", "foreign", "foreign-lead", "again-done", "again-rest",
		"cancel-done", "cancel-text", "move-done", "move-text", "pick-one"} {
		used[k] = true // by the program
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
