package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"ansim/booking"
	"ansim/schema/tracing"
)

// Names of headers of the contract.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
	headerTrace    = "Traceparent"
)

// MaxBody is the largest body that is read, in bytes.
const MaxBody = 64 << 10

// Options are what the API needs.
type Options struct {
	Service *booking.Service
	Keys    *booking.Keys
	// Texts tells what became of the texts of reservations. With nil, every reservation says that its text is pending.
	Texts TextsReader
	// Story tells what became of a reservation. With nil, every story is empty.
	Story TimelineReader
	// Explain says in the language ("ko" or "en") what the reason of a text means, "" for nothing. With nil, no reason is
	// explained.
	Explain func(reason, language string) string
	// TrustedProxies are the networks of the proxies before this server: of a request that comes from one of them, the address
	// in X-Forwarded-For is believed. With none, the address is the connection's.
	TrustedProxies []netip.Prefix
	// Reads is how many requests may read the database at once; it should leave a part of the readers' pool to others.
	// Default 4.
	Reads int
	// PublicURL is how the outside reaches the API, for the examples of /docs; default http://127.0.0.1:8080.
	PublicURL string
	// Served is told of each answer: the route, one of Routes, its status, and how long it took. May be nil.
	Served func(route string, status int, took time.Duration)
	Tracer *tracing.Tracer  // nil: nothing is traced
	Log    *slog.Logger     // default: none
	Now    func() time.Time // the clock for birth dates and server_time; default time.Now
}

// service is the part of booking.Service in use, apart so that the cost of this package can be measured without it.
type service interface {
	Book(context.Context, booking.Call, booking.BookRequest) (booking.Reply, error)
	Cancel(ctx context.Context, call booking.Call, id string, ifMatch int) (booking.Reply, error)
	Reschedule(ctx context.Context, call booking.Call, id, slotID string, ifMatch int) (booking.Reply, error)
	Correct(ctx context.Context, call booking.Call, id string, c booking.Correction, ifMatch int) (booking.Reply, error)
	Resend(context.Context, booking.Call, booking.ResendOrder) (booking.Reply, error)
	Get(ctx context.Context, client booking.Client, id string) (booking.Reservation, error)
	Search(ctx context.Context, client booking.Client, code, reference string) ([]booking.Reservation, error)
	Lookup(ctx context.Context, p booking.Proof) (booking.Appointed, error)
	Programmes(ctx context.Context) (booking.Catalogue, error)
	Slots(ctx context.Context, q booking.SlotQuery) (booking.SlotPage, error)
}

// authenticator is the part of booking.Keys in use.
type authenticator interface {
	Authenticate(ctx context.Context, bearer string) (booking.Client, error)
}

// server is the API.
type server struct {
	service    service
	keys       authenticator
	texts      TextsReader
	story      TimelineReader
	explain    func(reason, language string) string
	programmes *programmeCache
	slots      *slotCache
	proxies    []netip.Prefix
	reads      *gate
	served     func(route string, status int, took time.Duration)
	tracer     *tracing.Tracer
	log        *slog.Logger
	now        func() time.Time
	public     string // for the examples of the page of the documentation
	mux        *http.ServeMux
	document   *huma.OpenAPI // what it says of itself
}

// New makes the handler of /v1/…, /openapi.json, /docs and /problems/…; whatever else comes to it is answered with a problem, 404
// or 405. It is safe for concurrent use and keeps nothing that must be closed.
func New(opts Options) http.Handler {
	s := &server{service: opts.Service, keys: opts.Keys, texts: opts.Texts, story: opts.Story, explain: opts.Explain, served: opts.Served, tracer: opts.Tracer, log: opts.Log, now: opts.Now,
		public: opts.PublicURL, proxies: opts.TrustedProxies, reads: newGate(opts.Reads)}
	return s.handler()
}

// untold is a TimelineReader that knows of nothing.
type untold struct{}

// Timeline implements TimelineReader.
func (untold) Timeline(context.Context, string) ([]TimelineEntry, error) { return nil, nil }

func (s *server) handler() http.Handler {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.story == nil {
		s.story = untold{}
	}
	if s.explain == nil {
		s.explain = func(string, string) string { return "" }
	}
	if s.reads == nil {
		s.reads = newGate(0)
	}
	s.service = gatedService{s.service, s.reads}
	s.story = gatedStory{s.story, s.reads}
	if s.texts != nil {
		s.texts = gatedTexts{s.texts, s.reads}
	}
	s.programmes = &programmeCache{list: s.service.Programmes}
	s.slots = newSlotCache(s.service.Slots)
	s.mux = http.NewServeMux()
	api := humago.New(s.mux, huma.Config{OpenAPI: description()})
	for _, rt := range s.routes() {
		op := rt.operation(api.OpenAPI().Components.Schemas)
		api.OpenAPI().AddOperation(op)
		api.Adapter().Handle(op, s.serve(rt))
	}
	loosen(api.OpenAPI().Components.Schemas)
	complete(api.OpenAPI())
	s.document = api.OpenAPI()
	s.serveDocs()
	api.Adapter().Handle(&huma.Operation{Method: http.MethodGet, Path: "/openapi.json"}, serveDescription(api))
	s.mux.HandleFunc(routeProblem, s.problemPage)
	s.mux.HandleFunc("/", s.fallback)
	return http.HandlerFunc(s.entry)
}

// route is one call of the API.
type route struct {
	method, path string
	scope        string // that the API key must have; "" for everybody, without a key
	changes      bool   // needs an Idempotency-Key
	about        operationTexts
	handle       func(*call) error
}

// call is one authenticated request.
type call struct {
	*server
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	client booking.Client
	key    string
}

// serve makes rt's handler: the API key, its scope, the Idempotency-Key, and then the route's own work.
func (s *server) serve(rt *route) func(huma.Context) {
	name := rt.name()
	return func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if rec, ok := w.(*recorder); ok {
			rec.route = name
		}
		if err := s.answer(rt, w, r); err != nil {
			s.refuse(w, r, err)
		}
	}
}

func (s *server) answer(rt *route, w http.ResponseWriter, r *http.Request) error {
	if rt.scope == "" {
		return rt.handle(&call{server: s, w: w, r: r, route: rt})
	}
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return booking.ErrUnauthorized
	}
	client, err := s.keys.Authenticate(r.Context(), strings.TrimSpace(bearer))
	if err != nil {
		return err
	}
	if !client.May(rt.scope) {
		return booking.ErrForbidden
	}
	c := &call{server: s, w: w, r: r, route: rt, client: client}
	if rt.changes {
		if c.key, err = idempotencyKey(r.Header); err != nil {
			return err
		}
	}
	return rt.handle(c)
}

func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(headerKey)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return "", errKeyMissing
	}
	key, err := booking.NormalizeKey(values[0])
	if err != nil || len(values) > 1 {
		return "", &invalid{[]fieldError{{headerKey, booking.SlugKey, ""}}}
	}
	return key, nil
}

// refuse answers with the problem that err is, and logs what nobody expected. Errors of booking and sqldb name operations
// and hold no person's data.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if o := writeProblem(w, r, err); o.err == errInternal {
		s.log.ErrorContext(r.Context(), "request failed", "error", err)
	}
}

// entry is around every request: it logs one line, and turns a panic into a problem.
func (s *server) entry(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, route: noRoute}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // answers are about people
	start := time.Now()
	span := s.tracer.Begin(r.Header.Get(headerTrace), "request", tracing.Server, start)
	if s.tracer.On() { // what this request causes is a part of it
		r.Header.Set(headerTrace, span.Traceparent())
	}
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			s.panicked(rec, r, v)
		}
		span.Name(rec.route)
		span.Note("http.route", rec.route)
		span.Count("http.response.status_code", rec.status)
		if rec.status >= 500 {
			span.Fail("server error")
		}
		span.End()
		if s.served != nil {
			s.served(rec.route, rec.status, time.Since(start))
		}
		level := slog.LevelDebug
		if rec.status >= 500 {
			level = slog.LevelWarn
		}
		if s.log.Enabled(r.Context(), level) {
			s.log.LogAttrs(r.Context(), level, "request", slog.String("method", knownMethod(r.Method)),
				slog.String("route", rec.route), slog.Int("status", rec.status), slog.Duration("duration", time.Since(start)))
		}
	}()
	s.mux.ServeHTTP(rec, r)
}

// panicked answers and logs a panic. Its value may quote anything, a person's name too, so only that of a runtime error is
// logged, which quotes types and indexes alone.
func (s *server) panicked(rec *recorder, r *http.Request, v any) {
	what := fmt.Sprintf("%T", v)
	if err, ok := v.(runtime.Error); ok {
		what = err.Error()
	}
	s.log.ErrorContext(r.Context(), "panic", "route", rec.route, "panic", what, "stack", string(debug.Stack()))
	if rec.status == 0 {
		writeProblem(rec, r, errInternal)
	}
}

// fallback answers what no route has taken: with 405 when other methods would be, else with 404.
func (s *server) fallback(w http.ResponseWriter, r *http.Request) {
	var allow, exact []string // exact: by a route without wildcards, which says more of the path than one with
	probe := *r
	for _, m := range methods {
		probe.Method = m
		_, pattern := s.mux.Handler(&probe)
		if pattern != "/" {
			allow = append(allow, m)
		}
		if strings.HasSuffix(pattern, " "+r.URL.Path) {
			exact = append(exact, m)
		}
	}
	if len(exact) > 0 {
		allow = exact
	}
	if len(allow) == 0 {
		writeProblem(w, r, booking.ErrNotFound)
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	writeProblem(w, r, errMethod)
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// knownMethod keeps what a stranger invented as a method out of the log.
func knownMethod(m string) string {
	if slices.Contains(methods, m) || m == http.MethodOptions {
		return m
	}
	return "other"
}

// body reads the request's body, at most MaxBody bytes.
func (c *call) body() ([]byte, error) {
	if c.r.ContentLength > MaxBody {
		return nil, errTooLarge
	}
	buf := make([]byte, 0, max(c.r.ContentLength+1, 512))
	limited := http.MaxBytesReader(c.w, c.r.Body, MaxBody)
	for {
		n, err := limited.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		var large *http.MaxBytesError
		switch {
		case err == io.EOF:
			return buf, nil
		case errors.As(err, &large):
			return nil, errTooLarge
		case err != nil:
			return nil, &invalid{[]fieldError{{"body", codeUnread, ""}}}
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
	}
}

// json is body for a route that takes JSON.
func (c *call) json() ([]byte, error) {
	media, params, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	params = strings.ToLower(strings.ReplaceAll(params, " ", ""))
	if !strings.EqualFold(strings.TrimSpace(media), "application/json") ||
		strings.Contains(params, "charset=") && !strings.Contains(strings.ReplaceAll(params, `"`, ""), "charset=utf-8") {
		return nil, &invalid{[]fieldError{{"Content-Type", codeContentType, ""}}}
	}
	return c.body()
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	route  string
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
