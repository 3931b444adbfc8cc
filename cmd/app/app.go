// Package app puts ansim's parts together into a running process, in a straight line, and takes them apart in reverse.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/twilio"
	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/outbox/kafka/embedded"
	"ansim/schema"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
	"ansim/schema/tracing"
)

// shutdown is how long a stop may take in all.
const shutdown = 15 * time.Second

// collectLater is the garbage collector's GOGC unless the environment sets one. What lives is some 20 MiB, and what a rush of
// requests leaves behind is collected four times as seldom for some 60 MiB more: a tenth of the process's time.
const collectLater = 400

// App is a running process. Its parts start in New and end in Stop.
type App struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	listener net.Listener
	public   string

	db       *sqldb.DB
	cluster  kafka.Cluster
	service  *booking.Service
	relay    *outbox.Relay
	recorder *notifier.Recorder
	metrics  *notifier.Metrics
	notifier atomic.Pointer[notifier.Notifier]
	ids      *booking.Identities
	health   *health
	figures  *figures
	lookout  *notifier.Lookout
	tracer   *tracing.Tracer

	cleanups []cleanup
	stopOnce sync.Once
}

type cleanup struct {
	name string
	do   func(context.Context) error
}

// New starts a process. On an error everything that had started is stopped again. A broker or a provider that is away is
// no error: the process starts, says so, and goes on when they are back.
func New(ctx context.Context, cfg Config, log *slog.Logger) (_ *App, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectLater)
	}
	a := &App{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	a.health, a.figures = newHealth(a), newFigures(a)
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			a.Stop()
		}
	}()
	for _, step := range []func(context.Context) error{
		a.startTracing, a.lock, a.startProfile, a.listen, a.openDatabase, a.startBroker, a.startRecorder, a.startRelay, a.startAPI, a.serve, a.startNotifier, a.startRetention,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	log.Info("ansim is up", "url", a.public, "listens", a.listener.Addr().String(), "roles", cfg.Roles, "database", a.db.Dialect())
	return a, nil
}

// URL is where the process answers, as people outside see it.
func (a *App) URL() string { return a.public }

// DB is the process's database.
func (a *App) DB() *sqldb.DB { return a.db }

// Stop ends the process: it takes nothing new, finishes what was taken, and returns within 15 s. It may be called twice.
func (a *App) Stop() {
	a.stopOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdown)
		defer cancel()
		for i := len(a.cleanups) - 1; i >= 0; i-- {
			c := a.cleanups[i]
			done := make(chan error, 1)
			go func() { done <- c.do(ctx) }()
			select {
			case err := <-done:
				if err != nil {
					a.log.Warn("a part did not end cleanly", "part", c.name, "error", err)
				}
			case <-ctx.Done():
				// What it holds is in the database with a lease, or was never acknowledged.
				a.log.Error("a part did not end in time; the process ends without it", "part", c.name)
			}
		}
	})
}

func (a *App) onStop(name string, do func(context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, do})
}

// startTracing comes first, and so ends last: what the other parts did on their way out is sent, too.
func (a *App) startTracing(ctx context.Context) (err error) {
	if a.tracer, err = tracing.Open(ctx, a.log); err != nil {
		return err
	}
	a.onStop("traces", a.tracer.Close)
	return nil
}

// lock keeps a second process off an embedded database or broker.
func (a *App) lock(context.Context) error {
	if !a.cfg.embedded() {
		return nil
	}
	if err := os.MkdirAll(a.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	f := flock.New(filepath.Join(a.cfg.Data, "serve.lock"))
	ok, err := f.TryLock()
	if err != nil {
		return fmt.Errorf("lock the data folder: %w", err)
	}
	if !ok {
		return fmt.Errorf("%w: another ansim serves from %s; SQLite and the embedded broker are for one process "+
			"(use PostgreSQL and Kafka for several)", ErrUsage, a.cfg.Data)
	}
	a.onStop("lock file", func(context.Context) error { return f.Close() })
	return nil
}

// lockDatabase keeps a second process off the same SQLite file, whatever its data folder is.
func (a *App) lockDatabase() error {
	if a.db.Path() == "" {
		return nil
	}
	f := flock.New(a.db.Path() + ".serve.lock")
	if ok, err := f.TryLock(); err != nil {
		return fmt.Errorf("lock the database file: %w", err)
	} else if !ok {
		return fmt.Errorf("%w: another ansim serves from this database file (use PostgreSQL for several)", ErrUsage)
	}
	a.onStop("database lock", func(context.Context) error { return f.Close() })
	return nil
}

func (a *App) listen(ctx context.Context) (err error) {
	if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Addr); err != nil {
		return fmt.Errorf("listen on %s: %w", a.cfg.Addr, err)
	}
	// Serving closes it; this is for a start that fails before.
	a.onStop("listener", func(context.Context) error { _ = a.listener.Close(); return nil })
	if a.public = strings.TrimSuffix(a.cfg.PublicURL, "/"); a.public == "" {
		a.public = "http://" + a.listener.Addr().String()
	}
	return nil
}

func (a *App) openDatabase(ctx context.Context) (err error) {
	if a.db, err = sqldb.Open(ctx, a.cfg.Database(), sqldb.Options{}); err != nil {
		return err
	}
	a.onStop("database", func(context.Context) error { return a.db.Close() })
	if err := a.lockDatabase(); err != nil {
		return err
	}
	if a.cfg.Migrate {
		done, err := schema.Migrate(ctx, a.db, false)
		if err != nil {
			return err
		}
		for _, m := range done {
			a.log.Info("migrated", "migration", m)
		}
	}
	if err := schema.Check(ctx, a.db); err != nil {
		return err
	}
	a.lookout = notifier.NewLookout(a.db)
	secret, err := a.cfg.secret()
	if err != nil {
		return err
	}
	a.ids, err = booking.OpenIdentities(ctx, a.db, secret)
	return err
}

func (a *App) startBroker(context.Context) error {
	if a.cfg.Kafka != Embedded {
		var err error
		a.cluster, err = a.cfg.KafkaAccess.Cluster(kafkaBrokers, a.cfg.Kafka)
		return err
	}
	b, err := embedded.Start(filepath.Join(a.cfg.Data, "broker"), a.log)
	if err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	a.onStop("embedded broker", func(context.Context) error { return b.Close() })
	a.cluster = kafka.At(b.Addr())
	return nil
}

func (a *App) startRecorder(context.Context) error {
	a.metrics = notifier.NewMetrics(a.registry)
	a.recorder = notifier.NewRecorder(a.db, a.cfg.policy(), a.metrics, a.log)
	a.onStop("recorder", func(context.Context) error { a.recorder.Stop(); return nil })
	return nil
}

// startNotifier comes last, and so ends first: while requests to the provider end, its callbacks still find us.
func (a *App) startNotifier(context.Context) error {
	if !a.cfg.has(Notifier) {
		return nil
	}
	provider, err := twilio.New(twilio.Options{AccountSID: a.cfg.Twilio.AccountSID, AuthToken: a.cfg.Twilio.AuthToken,
		From: a.cfg.Twilio.From, BaseURL: a.cfg.Twilio.BaseURL, PublicURL: a.public, Log: a.log})
	if err != nil {
		return err
	}
	a.onStop("provider", func(context.Context) error { provider.Close(); return nil })
	consumer, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: a.cluster, Log: a.log})
	if err != nil {
		return err
	}
	a.onStop("consumer", func(context.Context) error { return consumer.Close() })
	n := notifier.Start(notifier.Options{DB: a.db, Source: consumer, Written: outbox.Written, Directory: appointments, Provider: provider,
		Recorder: a.recorder, Policy: a.cfg.policy(), Metrics: a.metrics, Tracer: a.tracer, Log: a.log})
	a.notifier.Store(n)
	a.onStop("notifier", func(context.Context) error { n.Stop(); return nil })
	return nil
}

func (a *App) startRelay(context.Context) error {
	if !a.cfg.has(Relay) {
		return nil
	}
	publisher, err := kafka.NewPublisher(a.cluster)
	if err != nil {
		return err
	}
	a.onStop("publisher", func(context.Context) error { return publisher.Close() })
	host, _ := os.Hostname()
	a.relay = outbox.NewRelay(a.db, publisher, outbox.RelayOptions{Holder: fmt.Sprintf("%s/%d", host, os.Getpid()),
		Published: a.figures.relayed, Well: func() { a.metrics.Beat("relay") }, Log: a.log})
	a.metrics.Beat("relay")
	ctx, cancel := context.WithCancel(context.Background())
	var jobs sync.WaitGroup
	looked := make(chan struct{})
	jobs.Go(func() { a.keepTopic(ctx, sync.OnceFunc(func() { close(looked) })) })
	jobs.Go(func() {
		// Not before the first look at the topic, which makes it: a first start need not begin with an error.
		select {
		case <-looked:
		case <-ctx.Done():
			return
		}
		if err := a.relay.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			a.log.Error("the relay ended", "error", err)
		}
	})
	a.onStop("relay", func(context.Context) error { cancel(); jobs.Wait(); return nil })
	return nil
}

// topicLook is the time between looks whether the topic is there: somebody may delete it while we run.
const topicLook = 5 * time.Second

// keepTopic makes the topic, when the broker is there for it, and makes it again should it go.
func (a *App) keepTopic(ctx context.Context, looked func()) {
	missing := false
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, topicLook)
		err := kafka.EnsureTopics(look, a.cluster, kafka.TopicOptions{})
		cancel()
		if err != nil && ctx.Err() == nil && !missing {
			a.log.Warn("the topic cannot be made or looked at; bookings go on, texts wait", "error", err)
		}
		missing = err != nil
		looked()
		wait(ctx, topicLook)
	}
}

func (a *App) startAPI(ctx context.Context) error {
	if !a.cfg.has(API) {
		return nil
	}
	a.service = booking.NewService(a.db, a.ids, booking.Options{Log: a.log, Now: sabotage.Now, Look: LookAtTexts, Committed: func() {
		if a.relay != nil {
			a.relay.Wake()
		}
	}})
	a.onStop("booking", func(context.Context) error { a.service.Stop(); return nil })
	return nil
}

func (a *App) serve(context.Context) error {
	a.figures.watch()
	handler, err := a.routes()
	if err != nil {
		return err
	}
	srv := newServer(handler, serverLimits, a.log)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := srv.Serve(netutil.LimitListener(a.listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("the HTTP server ended", "error", err)
		}
	}()
	// No new requests, while those under way are answered.
	a.onStop("HTTP server", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, shutdown/5)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close() // what is left are connections on which nothing was asked, or a client that does not read
		}
		<-served
		return nil
	})
	return nil
}

// appointments is the notifier's look into booking.
func appointments(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]notifier.Appointment, error) {
	found, err := booking.Appointments(ctx, tx, ids, lock)
	if err != nil {
		return nil, err
	}
	out := make(map[string]notifier.Appointment, len(found))
	for id, a := range found {
		out[id] = notifier.Appointment(a)
	}
	return out, nil
}
