package page

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	t.Parallel()
	seoul := time.FixedZone("KST", 9*3600)
	now := time.Date(2021, 7, 19, 20, 0, 0, 0, seoul)
	for _, c := range []struct {
		at                         time.Time
		ko, koRelative, en, enRest string
	}{
		{time.Date(2021, 7, 26, 10, 30, 0, 0, seoul), "2021년 7월 26일(월) 오전 10시 30분", "7일 뒤", "Monday 26 July 2021, 10:30 am", "in 7 days"},
		{time.Date(2021, 7, 19, 12, 0, 0, 0, seoul), "2021년 7월 19일(월) 오후 12시", "8시간 전", "Monday 19 July 2021, 12:00 pm", "8 hours ago"},
		{time.Date(2021, 7, 20, 0, 5, 0, 0, seoul), "2021년 7월 20일(화) 오전 12시 5분", "4시간 뒤", "Tuesday 20 July 2021, 12:05 am", "in 4 hours"},
		{now.Add(-time.Second), "2021년 7월 19일(월) 오후 7시 59분", "1초 전", "Monday 19 July 2021, 7:59 pm", "1 second ago"},
	} {
		if m := When(Korean, c.at, now); m.Text != c.ko || m.Relative != c.koRelative {
			t.Errorf("%q, %q; want %q, %q", m.Text, m.Relative, c.ko, c.koRelative)
		}
		if m := When(English, c.at, now); m.Text != c.en || m.Relative != c.enRest || m.Machine != c.at.Format(time.RFC3339) {
			t.Errorf("%q, %q, %q; want %q, %q", m.Text, m.Relative, m.Machine, c.en, c.enRest)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "1초", time.Millisecond: "1초", 59 * time.Second: "59초", 59600 * time.Millisecond: "1분", time.Minute: "1분", 89 * time.Second: "1분",
		90 * time.Second: "2분", 59*time.Minute + 40*time.Second: "1시간", 23*time.Hour + 40*time.Minute: "1일", 36 * time.Hour: "2일", -3 * time.Minute: "3분",
	} {
		if got := Span(Korean, d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	if got := Span(English, time.Hour) + ", " + Span(English, 2*time.Hour); got != "1 hour, 2 hours" {
		t.Error(got)
	}
}

// Who waits too long for a turn is told so, and the one inside is finished.
func TestBounded(t *testing.T) {
	t.Parallel()
	inside, leave := make(chan struct{}), make(chan struct{})
	h := Bounded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { close(inside); <-leave; w.WriteHeader(http.StatusOK) }),
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), 1, time.Millisecond)
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody))
		return w.Code
	}
	first := make(chan int)
	go func() { first <- ask() }()
	<-inside
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("beside the first: %d", got)
	}
	close(leave)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
}

func TestStyle(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	Style(w, httptest.NewRequestWithContext(t.Context(), "GET", StylePath(), http.NoBody))
	if !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.String() != css || strings.Contains(css, "url(") || len(css) > 10_000 {
		t.Errorf("%v, %d bytes", w.Header(), len(css))
	}
}
