package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"ansim/cmd/app"
	"ansim/schema/audit"
	"ansim/schema/sqldb"
)

type checkCmd struct {
	databaseFlags
	Settled   bool            `help:"Make what is open, but inside its deadline, a failure too."`
	Log       string          `placeholder:"FILE|URL" help:"The sandbox's log (its file, or http://…/sandbox/log), to join with what the database says."`
	Provider  bool            `help:"Read the provider's own list, too; needs TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN."`
	Since     time.Duration   `placeholder:"DURATION" help:"How far back the provider's list is read. By default 24h, or to our oldest attempt when that is nearer."`
	Kafka     string          `name:"kafka" placeholder:"BROKERS" help:"host:port,… of Kafka, to compare the topic with the outbox."`
	Reconcile []time.Duration `env:"ANSIM_RECONCILE" default:"5s,15s,60s,180s" help:"When the service looks up an unknown outcome: nothing may be attempted again before the first."`
	JSON      bool            `name:"json" help:"The last line of stdout is the report as one JSON object."`
}

func (c *checkCmd) Help() string {
	return "Reads one snapshot and writes nothing. Exit 0: no violation; what is still inside its deadline is reported as open. " +
		"Exit 1: violations, or something that was to be compared could not be read.\n\n" +
		"With --provider the whole list of the account is paged through, newest first, as far back as --since; optional in the " +
		"environment: ANSIM_TWILIO_FROM (other senders' texts are left out), ANSIM_TWILIO_BASE_URL (a sandbox). " +
		"With --kafka the topic is read from its first to its last record, within ten minutes; for brokers that want TLS or a login the " +
		"settings ANSIM_KAFKA_… of serve are read from the environment."
}

func (c *checkCmd) Run(e *env) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	db, err := c.open(e.ctx, sqldb.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	if c.Log != "" {
		log, err := c.openLog(e)
		if err != nil {
			return fmt.Errorf("read the sandbox's log: %w", err)
		}
		defer log.Close()
		opts.Log = log
	}
	report, err := audit.Run(e.ctx, db, opts)
	if err != nil {
		return err
	}
	if err := report.WriteText(e.stdout); err != nil {
		return err
	}
	if c.JSON {
		b, err := json.Marshal(report)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s\n", b)
	}
	if report.Failed(c.Settled) {
		return errSilent
	}
	return nil
}

// options are the audit's, but for the log.
func (c *checkCmd) options() (audit.Options, error) {
	opts := audit.Options{Looks: c.Reconcile}
	if len(c.Reconcile) == 0 || c.Reconcile[0] <= 0 {
		return opts, fmt.Errorf("%w: ANSIM_RECONCILE must be rising durations like 5s,15s,60s,180s", app.ErrUsage)
	}
	if c.Kafka != "" {
		if c.Kafka == app.Embedded {
			return opts, fmt.Errorf("%w: --kafka takes the host:port of brokers; the embedded broker is its service's alone", app.ErrUsage)
		}
		cluster, err := app.EnvKafkaAccess().Cluster("--kafka", c.Kafka)
		if err != nil {
			return opts, err
		}
		opts.Brokers, opts.Dial = cluster.Brokers, cluster.Dial
	}
	if c.Since < 0 || c.Since > 0 && !c.Provider {
		return opts, fmt.Errorf("%w: --since is how far back --provider reads, like 24h", app.ErrUsage)
	}
	if !c.Provider {
		return opts, nil
	}
	p := audit.Provider{AccountSID: os.Getenv("TWILIO_ACCOUNT_SID"), AuthToken: os.Getenv("TWILIO_AUTH_TOKEN"),
		From: os.Getenv("ANSIM_TWILIO_FROM"), BaseURL: os.Getenv("ANSIM_TWILIO_BASE_URL"), Since: c.Since}
	if p.AccountSID == "" || p.AuthToken == "" {
		return opts, errors.New("--provider needs TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN in the environment")
	}
	opts.Provider = &p
	return opts, nil
}

func (c *checkCmd) openLog(e *env) (io.ReadCloser, error) {
	if !strings.HasPrefix(c.Log, "http://") && !strings.HasPrefix(c.Log, "https://") {
		return os.Open(c.Log)
	}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, c.Log, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("it answered with status %d", res.StatusCode)
	}
	return res.Body, nil
}
