package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

const programmeFile = `
id: covid-2021-50s
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
rules:
  - {id: born-1967-1968, born_from: 1967-01-01, born_to: 1968-12-31, opens_at: 2021-07-19T20:00:00+09:00}
  - {id: born-1969, born_from: 1969-01-01, born_to: 1969-12-31, opens_at: 2021-07-21T20:00:00+09:00}
sites:
  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}
slots:
  - {id: gangnam-0726-1030, site: gangnam, starts_at: 2021-07-26T10:30:00+09:00, capacity: 2}
  - {id: gangnam-0726-1100, site: gangnam, starts_at: 2021-07-26T11:00:00+09:00, capacity: 1}
`

// rig is the API on a real database, behind a real listener.
type rig struct {
	t     *testing.T
	url   string
	key   string // of the client
	other string // of another client
	db    *sqldb.DB
	now   *dbtest.Clock
	log   *lockedBuffer
	texts *cannedTexts
	looks *cannedLooks
	skew  atomic.Int64 // nanoseconds by which the API's clock is wrong; the database's is not
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// cannedTexts answers what a test put in.
type cannedTexts struct {
	mu    sync.Mutex
	texts map[string][]Text
	err   error
}

func (c *cannedTexts) Texts(context.Context, []string) (map[string][]Text, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.texts, c.err
}

func (c *cannedTexts) put(id string, texts []Text, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts, c.err = map[string][]Text{id: texts}, err
}

// cannedLooks is the notifier's answer to what became of the newest texts.
type cannedLooks struct {
	mu    sync.Mutex
	texts map[string]map[event.Recipient]booking.NewestText
}

func (c *cannedLooks) look(context.Context, *sqldb.Tx, []string) (map[string]map[event.Recipient]booking.NewestText, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.texts, nil
}

// put says that the newest text to each person of a reservation is of its first version and that resend, and in that state.
func (c *cannedLooks) put(id, state string, resend int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := booking.NewestText{Version: 1, Resend: resend, State: state}
	c.texts = map[string]map[event.Recipient]booking.NewestText{id: {event.Resident: n, event.Booker: n}}
}

// explain has a sentence for one reason, and for looking-up.
func explain(reason, language string) string {
	switch reason + " " + language {
	case "error-30003 en":
		return "The phone could not be reached."
	case "error-30003 ko":
		return "전화기에 연결할 수 없습니다."
	case "looking-up en":
		return "We are finding out."
	}
	return ""
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx := t.Context()
	r := &rig{t: t, now: dbtest.NewClock(time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)), log: &lockedBuffer{}, texts: &cannedTexts{}, looks: &cannedLooks{}}
	r.db = dbtest.SQLite(t, sqldb.Options{Now: r.now.Now})
	file, err := booking.ParseProgramme(strings.NewReader(programmeFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := booking.ApplyProgramme(ctx, r.db, file, booking.ApplyOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	ids, err := booking.OpenIdentities(ctx, r.db, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*string{"clinic": &r.key, "other": &r.other} {
		if *key, err = booking.CreateKey(ctx, r.db, booking.KeySpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service := booking.NewService(r.db, ids, booking.Options{Log: log, Look: r.looks.look, Now: r.now.Now})
	t.Cleanup(service.Stop)
	server := httptest.NewServer(New(Options{Service: service, Keys: booking.NewKeys(r.db, nil), Texts: r.texts, Log: log, Explain: explain,
		Now: func() time.Time { return r.now.Now().Add(time.Duration(r.skew.Load())) }}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

// do sends a request with the client's key; headers are name, value pairs and may replace those that are usual.
func (r *rig) do(method, path, body string, headers ...string) answer {
	r.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") && len(raw) > 0 && raw[0] == '{' {
		a.json = decode(r.t, a.raw)
	}
	return a
}

// problem asserts that a is the problem slug with that status.
func (r *rig) problem(a answer, status int, slug string) {
	r.t.Helper()
	if a.status != status || a.json["type"] != "/problems/"+slug || a.header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("got %d %s %s, want %d %s", a.status, a.header.Get("Content-Type"), a.raw, status, slug)
	}
}

// at is the value at a path of an answer.
func (a answer) at(path ...string) any {
	var v any = a.json
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func personBody(identity, slot, birth string) string {
	return `{"slot_id": "` + slot + `", "resident": {"identity": "` + identity + `", "name": "홍길동", "birth_date": "` + birth + `", "phone": "+82 10-1234-5678"}, "reference": "A-` + identity + `"}`
}
