package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// counts are the values of a counter's series, by "route status".
func counts(t *testing.T, v *prometheus.CounterVec) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(v)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[label(m, "route")+" "+label(m, "status")] = m.GetCounter().GetValue()
		}
	}
	return out
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// TestPagesAndCallbacksAreCounted: each answer under its route and status, whatever the address holds; what an alarm waits for is
// there from the start.
func TestPagesAndCallbacksAreCounted(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	f := newFigures(&App{registry: prometheus.NewRegistry(), log: slog.New(slog.NewTextHandler(&logged, nil))})
	h := f.counted(routeResident, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/r/says-nothing":
		case "/r/fails":
			http.Error(w, "broken", http.StatusInternalServerError)
		case "/r/panics":
			panic("a name that nobody thought of: 홍길동")
		case "/r/panics-late":
			_, _ = io.WriteString(w, "half a page")
			panic("and no more")
		default:
			_, _ = io.WriteString(w, "a page")
		}
	}))
	if diff := cmp.Diff(map[string]float64{"/r 500": 0, "/r 503": 0}, counts(t, f.requests)); diff != "" {
		t.Errorf("before the first request (-want +got):\n%s", diff)
	}
	ask := func(ctx context.Context, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", path, http.NoBody))
		return w.Code
	}
	for path, want := range map[string]int{"/r": 200, "/r/K7Q293TX4M": 200, "/r/says-nothing": 200, "/r/fails": 500, "/r/panics": 500} {
		if got := ask(t.Context(), path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("half a page ends with %v", v)
			}
		}()
		ask(t.Context(), "/r/panics-late")
	}()
	left, leave := context.WithCancel(t.Context())
	leave()
	ask(left, "/r/fails")
	if diff := cmp.Diff(map[string]float64{"/r 200": 3, "/r 499": 1, "/r 500": 3, "/r 503": 0}, counts(t, f.requests)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := logged.String(); strings.Count(s, "msg=panic route=/r") != 2 || strings.Contains(s, "홍길동") {
		t.Errorf("the log should have both panics and nobody's name: %s", s)
	}
}
