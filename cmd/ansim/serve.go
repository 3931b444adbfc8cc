package main

import (
	"fmt"
	"os"
	"time"

	"ansim/cmd/app"
)

type serveCmd struct {
	databaseFlags
	Roles     []app.Role      `default:"api,relay,notifier" help:"Which parts this process takes: api, relay, notifier."`
	Addr      string          `env:"ANSIM_ADDR" default:"127.0.0.1:8080" help:"Where to listen."`
	PublicURL string          `env:"ANSIM_PUBLIC_URL" placeholder:"URL" help:"How the outside reaches this service, for callbacks and links; by default the listener's address."`
	Kafka     string          `name:"kafka-brokers" env:"ANSIM_KAFKA_BROKERS" default:"embedded" help:"host:port,… or embedded."`
	Migrate   string          `env:"ANSIM_MIGRATE" default:"on" enum:"on,off" help:"Whether to bring the database up to this program at start: on or off."`
	Reconcile []time.Duration `env:"ANSIM_RECONCILE" default:"5s,15s,60s,180s" help:"When an unknown outcome is looked up; the last is the deadline."`
	Proxies   []string        `name:"trusted-proxies" env:"ANSIM_TRUSTED_PROXIES" placeholder:"NETWORKS" help:"Networks or addresses of the proxies before this service, as 10.0.0.0/8,192.0.2.7: what they say in X-Forwarded-For is believed. None by default."`
	Profile   string          `name:"pprof-addr" env:"ANSIM_PPROF_ADDR" placeholder:"ADDR" help:"Where Go's profiles can be fetched, a port of this machine alone, as 127.0.0.1:6060. Nowhere by default."`
	Keep      time.Duration   `env:"ANSIM_KEEP" default:"2160h" help:"How long events are kept, and texts after the appointment; 192h or longer, 0 for ever. What is older is deleted every hour; see ansim prune."`
	Segments  float64         `name:"segments-per-second" env:"ANSIM_SEGMENTS_PER_SECOND" default:"0" help:"How many segments all notifiers together hand to the provider a second; 0 for no limit. Set it to what the provider grants your sender."`
}

func (c *serveCmd) Help() string {
	return "Needs in the environment: ANSIM_SECRET (32 bytes in hex; `openssl rand -hex 32`), and for the roles api and " +
		"notifier TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, ANSIM_TWILIO_FROM. Optional: TWILIO_AUTH_TOKEN_PREVIOUS (during a " +
		"rotation), ANSIM_TWILIO_BASE_URL (a sandbox), and for brokers that want TLS or a login ANSIM_KAFKA_TLS=on, " +
		"ANSIM_KAFKA_CA_FILE, ANSIM_KAFKA_CERT_FILE and ANSIM_KAFKA_KEY_FILE, ANSIM_KAFKA_USER, ANSIM_KAFKA_PASSWORD and ANSIM_KAFKA_MECHANISM " +
		"(SCRAM-SHA-512 unless it is SCRAM-SHA-256 or PLAIN).\n\nSeveral processes may share a PostgreSQL database, with all or some of the roles."
}

func (c *serveCmd) Run(e *env) error {
	for i, d := range c.Reconcile {
		if d <= 0 || (i > 0 && d <= c.Reconcile[i-1]) {
			return fmt.Errorf("%w: ANSIM_RECONCILE must be rising durations like 5s,15s,60s,180s", app.ErrUsage)
		}
	}
	proxies, err := app.ParseNetworks(c.Proxies)
	if err != nil {
		return err
	}
	a, err := app.New(e.ctx, app.Config{TrustedProxies: proxies,
		DatabaseURL: c.DatabaseURL, Kafka: c.Kafka, KafkaAccess: app.EnvKafkaAccess(), Data: c.Data, Addr: c.Addr, PublicURL: c.PublicURL,
		// Secrets come from the environment alone: a command line is seen by every user of the machine.
		Secret:  os.Getenv("ANSIM_SECRET"),
		Migrate: c.Migrate == "on", Roles: c.Roles, Reconcile: c.Reconcile, Segments: c.Segments, Keep: c.Keep, Profile: c.Profile,
		Twilio: app.Twilio{AccountSID: os.Getenv("TWILIO_ACCOUNT_SID"), AuthToken: os.Getenv("TWILIO_AUTH_TOKEN"),
			AuthTokenPrevious: os.Getenv("TWILIO_AUTH_TOKEN_PREVIOUS"), From: os.Getenv("ANSIM_TWILIO_FROM"),
			BaseURL: os.Getenv("ANSIM_TWILIO_BASE_URL")},
	}, e.log)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "ansim serves at", a.URL())
	<-e.ctx.Done()
	e.log.Info("stopping")
	a.Stop()
	return nil
}
