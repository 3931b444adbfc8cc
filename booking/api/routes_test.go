package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRoutesAreAllThatServedIsTold: whoever counts answers can know all routes before the first request.
func TestRoutesAreAllThatServedIsTold(t *testing.T) {
	t.Parallel()
	told := map[string]bool{}
	h := (&server{service: nothing{}, keys: nothing{}, served: func(route string, _ int, _ time.Duration) { told[route] = true }}).handler()
	for _, route := range Routes() {
		method, path, is := strings.Cut(route, " ")
		if !is {
			method, path = http.MethodGet, "/nowhere"
		}
		ask(t, h, method, strings.NewReplacer("{id}", "1", "{slug}", "not-found").Replace(path))
		if !told[route] {
			t.Errorf("nobody is told of %s", route)
		}
	}
	for route := range told {
		if !slices.Contains(Routes(), route) {
			t.Errorf("%s is not among the routes", route)
		}
	}
}
