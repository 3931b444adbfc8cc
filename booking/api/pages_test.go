package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"ansim/booking"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, h, http.MethodGet, path)
}

func ask(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func TestDescription(t *testing.T) {
	t.Parallel()
	w := get(t, (&server{service: nothing{}, keys: nothing{}}).handler(), "/openapi.json")
	doc := decode(t, w.Body.String())
	if w.Code != 200 || doc["openapi"] != "3.1.0" {
		t.Fatalf("%d %v", w.Code, doc["openapi"])
	}
	var paths []string
	for path := range doc["paths"].(map[string]any) {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	want := []string{"/v1/lookup", "/v1/programmes", "/v1/programmes/{id}", "/v1/programmes/{id}/eligibility", "/v1/reservations",
		"/v1/reservations/search", "/v1/reservations/{id}", "/v1/reservations/{id}/cancel", "/v1/reservations/{id}/contact",
		"/v1/reservations/{id}/reschedule", "/v1/reservations/{id}/resend", "/v1/reservations/{id}/timeline", "/v1/slots"}
	if !slices.Equal(paths, want) {
		t.Errorf("paths %v", paths)
	}
	for _, name := range []string{"BookRequest", "ResidentRequest", "Reservation", "Problem", "Confirmation"} {
		if !strings.Contains(w.Body.String(), `"`+name+`":{`) {
			t.Errorf("no schema %s", name)
		}
	}
}

// A problem's type leads to a page that says what it means.
func TestProblemPages(t *testing.T) {
	t.Parallel()
	h := (&server{service: nothing{}, keys: nothing{}}).handler()
	for _, o := range outcomes {
		w := get(t, h, "/problems/"+o.slug)
		if w.Code != 200 || !strings.Contains(w.Body.String(), o.title.ko) {
			t.Errorf("%s: %d %s", o.slug, w.Code, w.Body)
		}
	}
	if w := get(t, h, "/problems/none"); w.Code != 404 {
		t.Errorf("none: %d", w.Code)
	}
}

// panicking panics with a person's name.
type panicking struct{ nothing }

func (panicking) Get(context.Context, booking.Client, string) (booking.Reservation, error) {
	panic("홍길동 has no slot")
}

func (panicking) Search(context.Context, booking.Client, string, string) ([]booking.Reservation, error) {
	var none []booking.Reservation
	return none[3:4], nil
}

func TestPanic(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	h := (&server{service: panicking{}, keys: nothing{}, log: slog.New(slog.NewJSONHandler(log, nil))}).handler()
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/v1/reservations/x?name=홍길동", nil),
		httptest.NewRequest("POST", "/v1/reservations/search", strings.NewReader(`{"reference": "홍길동"}`)),
	} {
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 500 || decode(t, w.Body.String())["type"] != "/problems/internal" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String()+log.String(), "홍길동") || strings.Contains(w.Body.String(), "slot") || strings.Contains(w.Body.String(), "range") {
			t.Errorf("it shows too much: %s %s", w.Body, log.String())
		}
	}
	if !strings.Contains(log.String(), "slice bounds out of range") || !strings.Contains(log.String(), `"status":500`) {
		t.Errorf("the log: %s", log.String())
	}
}

// overloaded and in progress tell when to come back.
type busy struct {
	nothing
	err error
}

func (b busy) Book(context.Context, booking.Call, booking.BookRequest) (booking.Reply, error) {
	return booking.Reply{}, b.err
}

func TestComeBack(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{booking.ErrOverloaded: 503, booking.ErrKeyInProgress: 409} {
		h := (&server{service: busy{err: err}, keys: nothing{}}).handler()
		r := httptest.NewRequest("POST", "/v1/reservations", strings.NewReader(goodBody))
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(headerKey, "k")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%v: %d %v", err, w.Code, w.Header())
		}
	}
}
