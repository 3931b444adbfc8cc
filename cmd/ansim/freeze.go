package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ansim/cmd/app"
	"ansim/notifier"
	"ansim/notifier/console/trail"
	"ansim/notifier/twilio"
	"ansim/schema/sqldb"
)

type freezeCmd struct {
	databaseFlags
	By string `placeholder:"NAME" help:"Who says so, for the record; by default the user of this machine."`
}

func (c *freezeCmd) Help() string {
	return "When it returns, no process begins to send a text any more. Requests that are under way end as they do; people book, cancel " +
		"and look up as ever, receipts are taken, and what waits goes out after `ansim resume`.\n\n" +
		"On PostgreSQL sending freezes by itself when the database is a restored backup or a promoted standby. On SQLite a file does " +
		"not know that it was put back: stop the service, put the file back, run this, and only then start the service. On both it " +
		"freezes when Kafka holds a change that the database does not."
}

func (c *freezeCmd) Run(e *env) error {
	by, err := whoAsks(c.By)
	if err != nil {
		return err
	}
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	by = "cli:" + by
	if err := notifier.Freeze(e.ctx, db, by, func(ctx context.Context, tx *sqldb.Tx) error {
		return trail.Append(ctx, tx, trail.Entry{Actor: by, Action: trail.Froze})
	}); err != nil {
		return err
	}
	s, err := notifier.ReadSending(e.ctx, db)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "sending is frozen (%s, since %s); `ansim resume` lets it go on\n", s.Reason, s.Since.Format("2006-01-02 15:04:05 MST"))
	return nil
}

type resumeCmd struct {
	databaseFlags
	DryRun          bool   `help:"Change nothing, and say what would be found."`
	WithoutProvider bool   `help:"Do not ask the provider's list: what went out and is not known here goes out again."`
	By              string `placeholder:"NAME" help:"Who says so, for the record; by default the user of this machine."`
	JSON            bool   `name:"json" help:"The last line of stdout is the report as one JSON object."`
}

func (c *resumeCmd) Help() string {
	return "Lets sending go on after a freeze. First it asks the provider's list about every text that waits and is older than the freeze: " +
		"what went out is not sent again. Needs in the environment TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and ANSIM_TWILIO_FROM, " +
		"optionally ANSIM_TWILIO_BASE_URL. It may be interrupted and run again.\n\n" +
		"Exit 0: sending goes on. Exit 1: it is still frozen, and why. Afterwards `ansim check --provider` names the texts whose " +
		"reservations this database has lost: those people were told of a booking that is not there, and need a call."
}

func (c *resumeCmd) Run(e *env) error {
	by, err := whoAsks(c.By)
	if err != nil {
		return err
	}
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	by = "cli:" + by
	r := notifier.Resumption{DB: db, Directory: app.Appointments, Log: e.log, By: by, DryRun: c.DryRun,
		Noted: func(ctx context.Context, tx *sqldb.Tx, n notifier.ResumeReport) error {
			return trail.Append(ctx, tx, trail.Entry{Actor: by, Action: trail.Unfroze, Detail: fmt.Sprintf("after %s; %d looked for, %d had gone out",
				n.Reason, n.Looked, n.Found)})
		},
		Progress: func(n notifier.ResumeReport) {
			fmt.Fprintf(e.stderr, "looked for %d of %d texts, %d had gone out …\n", n.Looked, n.Waiting, n.Found)
		}}
	if !c.WithoutProvider {
		provider, err := c.provider(e)
		if err != nil {
			return err
		}
		defer provider.Close()
		r.Provider = provider
	}
	report, err := r.Run(e.ctx)
	if errors.Is(err, notifier.ErrNotFrozen) {
		return errors.New("sending is not frozen; there is nothing to resume")
	}
	if err != nil {
		return err
	}
	word := "sending goes on"
	if c.DryRun {
		word = "sending stays frozen (dry run)"
	}
	fmt.Fprintf(e.stdout, "%s; it was frozen for %s. %d texts wait; %d were looked for, and %d of them had gone out\n", word, report.Reason,
		report.Waiting-report.Found, report.Looked, report.Found)
	if c.JSON {
		return writeJSON(e, report)
	}
	return nil
}

// provider is the one that the service sends by. Only its list is asked here, so that no address for callbacks is needed.
func (c *resumeCmd) provider(e *env) (*twilio.Provider, error) {
	o := twilio.Options{AccountSID: os.Getenv("TWILIO_ACCOUNT_SID"), AuthToken: os.Getenv("TWILIO_AUTH_TOKEN"),
		From: os.Getenv("ANSIM_TWILIO_FROM"), BaseURL: os.Getenv("ANSIM_TWILIO_BASE_URL"), PublicURL: "http://127.0.0.1", Log: e.log}
	if o.AccountSID == "" || o.AuthToken == "" || o.From == "" {
		return nil, errors.New("TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and ANSIM_TWILIO_FROM must be set, as for `ansim serve`: the provider's " +
			"list says what went out. --without-provider goes on without it, and may send texts again")
	}
	return twilio.New(o)
}
