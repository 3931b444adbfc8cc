package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	kafkatest "ansim/test/kafka"
)

// traces is a collector that takes OTLP over HTTP.
type traces struct {
	mu    sync.Mutex
	spans []*otlp.Span
	raw   bytes.Buffer
	bad   error
}

func collect(t *testing.T) (*traces, string) {
	t.Helper()
	c := &traces{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := c.take(r)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.bad = errors.Join(c.bad, err); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	return c, server.URL
}

func (c *traces) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if r.URL.Path != "/v1/traces" {
		return fmt.Errorf("asked for %s", r.URL.Path)
	}
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(text, &req); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(text)
	for _, of := range req.GetResourceSpans() {
		if !strings.Contains(of.GetResource().String(), "ansim") {
			err = fmt.Errorf("spans of %s", of.GetResource())
		}
		for _, s := range of.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
	return err
}

// of are the spans of a trace, by their names.
func (c *traces) of(trace string) map[string]*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]*otlp.Span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == trace {
			out[s.GetName()] = s
		}
	}
	return out
}

// TestOneTraceFromTheRequestToTheText follows a booking through three processes: the client's own trace goes on in the API, the
// relay, the intake and the sender, and nothing in it is personal. Without a collector's address nothing is sent anywhere.
func TestOneTraceFromTheRequestToTheText(t *testing.T) {
	t.Parallel()
	in := onServers(t, kafkatest.Start(t))
	c, url := collect(t)
	quiet := in.env
	in.env = append(slices.Clone(in.env), "OTEL_EXPORTER_OTLP_ENDPOINT="+url, "OTEL_BSP_SCHEDULE_DELAY=100")
	in.serve("api")
	in.prepare()
	in.serve("relay")
	in.serve("notifier")
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	const canary = "카나리아"
	res := book(t, in, "00-"+trace+"-"+parent+"-01", canary)
	var spans map[string]*otlp.Span
	want := []string{"POST /v1/reservations", "publish", "take in", "send text"}
	await(t, time.Minute, "the trace is whole", func() error {
		spans = c.of(trace)
		for _, name := range want {
			if spans[name] == nil {
				return fmt.Errorf("%w: no %q", errNotYet, name)
			}
		}
		return nil
	})
	root := spans[want[0]]
	if got := hex.EncodeToString(root.GetParentSpanId()); got != parent {
		t.Errorf("the request's parent is %s, want the client's span", got)
	}
	for i, name := range want[1:] {
		s := spans[name]
		if !bytes.Equal(s.GetParentSpanId(), root.GetSpanId()) {
			t.Errorf("%s is not a part of the request", name)
		}
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() || spans[want[i]].GetStartTimeUnixNano() > s.GetEndTimeUnixNano() {
			t.Errorf("%s ended before what it follows began", name)
		}
	}
	if !strings.Contains(fmt.Sprint(spans["publish"].GetAttributes()), res.ID) {
		t.Errorf("the trace does not name the reservation: %v", spans["publish"].GetAttributes())
	}
	c.mu.Lock()
	for _, secret := range []string{canary, "010-5555-4321", "1055554321", res.Code, strings.ReplaceAll(res.Code, "-", ""), in.key, "identity-of-canary", "1967-05-05"} {
		if strings.Contains(c.raw.String(), secret) {
			t.Errorf("the traces hold %q", secret)
		}
	}
	if c.bad != nil {
		t.Error(c.bad)
	}
	c.mu.Unlock()

	in.env = quiet
	in.serve("api")
	book(t, in, "00-ffffffffffffffffffffffffffffffff-"+parent+"-01", "홍길동")
	if found := c.of(strings.Repeat("f", 32)); found[want[0]] != nil {
		t.Error("a process without a collector's address sends traces")
	}
}

// book books one person, with a trace context.
func book(t *testing.T, in *installation, traceparent, name string) (r reservation) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	body := fmt.Sprintf(`{"slot_id":%q,"resident":{"identity":"identity-of-canary-%s","name":%q,"birth_date":"1967-05-05","phone":"010-5555-4321"}}`,
		in.slots[0], name, name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, in.front.url+"/v1/reservations", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "trace-"+traceparent)
	req.Header.Set("Traceparent", traceparent)
	req.Header.Set("Authorization", "Bearer "+in.key)
	a, err := in.do(req)
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("status %d, %v: %s", a.status, err, a.body)
	}
	a.decode(t, &r)
	return r
}
