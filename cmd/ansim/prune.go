package main

import (
	"encoding/json"
	"fmt"
	"time"

	"ansim/cmd/app"
	"ansim/schema/sqldb"
)

type pruneCmd struct {
	databaseFlags
	Keep   time.Duration `env:"ANSIM_KEEP" default:"2160h" help:"How long events are kept, and texts after the appointment; 192h or longer, 0 for ever."`
	DryRun bool          `help:"Delete nothing, and say what would be."`
	JSON   bool          `name:"json" help:"The last line of stdout is the counts as one JSON object."`
}

func (c *pruneCmd) Help() string {
	return "Deletes events of the outbox and texts (with their attempts and receipts) that are past their time, and idempotency keys that " +
		"have expired. `ansim serve` does the same every hour, so this is for who wants it now. Nothing is deleted that is not published, " +
		"not turned into texts, on its way, or of an appointment that is to come. Reservations stay. It may run beside a live service, " +
		"be interrupted, and be run again."
}

func (c *pruneCmd) Run(e *env) error {
	if err := app.CheckKeep(c.Keep); err != nil {
		return err
	}
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	r := &app.Retention{DB: db, Keep: c.Keep, Rest: 1}
	act, verb := r.Run, "deleted"
	if c.DryRun {
		act, verb = r.Count, "would delete"
	}
	done, err := act(e.ctx)
	fmt.Fprintf(e.stdout, "%s %d events, %d texts, %d idempotency keys\n", verb, done.Events, done.Texts, done.Keys)
	if c.JSON {
		if err := json.NewEncoder(e.stdout).Encode(done); err != nil {
			return err
		}
	}
	return err
}
