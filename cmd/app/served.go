package app

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// The routes beside those of the API as figures and logs have them. Each stands for all addresses below it, so that no code and no
// token is ever part of a label.
const (
	routeResident = "/r"
	routeConsole  = "/console"
	routeCallback = "POST /v1/providers/twilio/status/{token}"
)

// statusGone counts an answer that failed because its client had left: nobody reads it, and nothing of ours went wrong. nginx has the
// same figure for it.
const statusGone = 499

// served counts an answer. route is one of few.
func (f *figures) served(route string, status int, took time.Duration) {
	f.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	f.durations.WithLabelValues(route).Observe(took.Seconds())
}

// expect lets what an alarm waits for begin at 0 for each route: Prometheus sees no increase in a series that is born with its first
// count.
func (f *figures) expect(routes ...string) {
	for _, route := range routes {
		for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
			f.requests.WithLabelValues(route, strconv.Itoa(status))
		}
	}
}

// counted is next with its answers counted under route. A panic is logged and answered with 500; its value may quote anything, a
// person's name too, so only its type is told.
func (f *figures) counted(route string, next http.Handler) http.Handler {
	f.expect(route)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, start := &answer{ResponseWriter: w}, time.Now()
		defer func() {
			v := recover()
			if v == http.ErrAbortHandler {
				panic(v)
			}
			status := out.status
			switch {
			case v != nil:
				status = http.StatusInternalServerError
				f.app.log.ErrorContext(r.Context(), "panic", "route", route, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			case r.Context().Err() != nil && status >= http.StatusInternalServerError:
				status = statusGone
			case status == 0: // nothing was written, which is sent as this
				status = http.StatusOK
			}
			f.served(route, status, time.Since(start))
			switch {
			case v != nil && out.status == 0:
				http.Error(w, "internal error", status)
			case v != nil:
				panic(http.ErrAbortHandler) // else half an answer would pass for a whole one
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// answer remembers the status that was written; 0 for none yet.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
