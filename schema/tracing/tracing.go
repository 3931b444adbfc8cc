// Package tracing makes one trace of a request's whole way: from HTTP through the outbox and Kafka to the text. It is
// OpenTelemetry's, off unless a collector is named, and its spans carry ids, routes, states and times: nothing personal.
//
//	POST /v1/reservations ──▶ publish ──▶ take in ──▶ send text
//
// The stages are processes of their own and hours may lie between two of them, so each span's parent is the request's, whose trace
// context the outbox row and the event carry (W3C traceparent).
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Kind is what a span is in its trace.
type Kind = trace.SpanKind

// The kinds of spans.
const (
	Server   = trace.SpanKindServer
	Producer = trace.SpanKindProducer
	Consumer = trace.SpanKindConsumer
	Client   = trace.SpanKindClient
)

// Tracer begins spans. A nil Tracer is off, and costs nothing.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// complaints is the time between two words of the log about a collector that does not take spans.
const complaints = time.Minute

// Open starts to trace when OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a collector that takes OTLP over
// HTTP, and returns nil when neither does. The other variables of OpenTelemetry (OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, …) are followed as well. A collector that is away is no error: what does not fit into a
// bounded queue is dropped, and nothing waits for it.
func Open(ctx context.Context, log *slog.Logger) (*Tracer, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s is %q; traces are sent as http/protobuf alone", name, p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "ansim")), resource.WithTelemetrySDK(),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("prepare traces: %w", err)
	}
	var last atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		now := time.Now().UnixNano()
		if was := last.Load(); now-was > int64(complaints) && last.CompareAndSwap(was, now) {
			log.Warn("traces cannot be sent; nothing else depends on them", "error", err)
		}
	}))
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracer{provider: p, tracer: p.Tracer("ansim")}, nil
}

// Close sends what waits, as long as ctx lets it.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// On says whether there is any tracing.
func (t *Tracer) On() bool { return t != nil }

// Begin begins a span at a time, as a child of the traceparent; without one it is the first of a new trace.
func (t *Tracer) Begin(traceparent, name string, kind Kind, at time.Time) Span {
	if t == nil {
		return Span{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	ctx, s := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(at))
	return Span{ctx, s}
}

// Follow is Begin for what continues a trace, and no span at all when there is none to continue.
func (t *Tracer) Follow(traceparent, name string, kind Kind, at time.Time) Span {
	if traceparent == "" {
		return Span{}
	}
	return t.Begin(traceparent, name, kind, at)
}

// Span is one step. The zero Span is none, and takes everything.
type Span struct {
	ctx  context.Context
	span trace.Span
}

// Traceparent is what makes others' spans children of s; "" for none.
func (s Span) Traceparent() string {
	if s.span == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(s.ctx, carrier)
	return carrier["traceparent"]
}

// Name gives s another name.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Note says something of s. The value must be nothing personal.
func (s Span) Note(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Count says a number of s.
func (s Span) Count(key string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, n))
	}
}

// Fail says that s failed, and why in a word.
func (s Span) Fail(why string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// End ends s now.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
