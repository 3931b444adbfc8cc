package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"ansim/cmd/app"
	"ansim/notifier/console/trail"
	"ansim/schema/sqldb"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Walk the whole trail of what staff did; exit 1 when an entry is not as it was written."`
	List   auditListCmd   `cmd:"" help:"The newest entries of the trail."`
}

type auditVerifyCmd struct{ databaseFlags }

func (c *auditVerifyCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	v, err := trail.Verify(e.ctx, db)
	if err != nil {
		return err
	}
	if v.Bad != 0 {
		fmt.Fprintf(e.stdout, "broken at entry %d: %s\n", v.Bad, v.Why)
		return errSilent
	}
	// Whoever rewrites the whole table cannot rewrite what was written down elsewhere.
	fmt.Fprintf(e.stdout, "%d entries, unbroken; head %s\n", v.Entries, v.Head)
	return nil
}

type auditListCmd struct {
	databaseFlags
	Limit       int    `default:"50" help:"How many, 1 to 1000."`
	Before      int64  `placeholder:"N" help:"Only entries before this one."`
	Reservation string `placeholder:"ID" help:"Only what concerns this reservation."`
	JSON        bool   `name:"json" help:"One JSON object a line."`
}

func (c *auditListCmd) Run(e *env) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return fmt.Errorf("%w: --limit must be 1 to 1000", app.ErrUsage)
	}
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	entries, err := trail.Read(e.ctx, db, c.Reservation, c.Before, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(e.stdout)
		for _, n := range entries {
			if err := out.Encode(map[string]any{"seq": n.Seq, "at": n.At.UTC(), "actor": n.Actor, "action": n.Action,
				"reservation_id": n.Reservation, "detail": n.Detail}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ENTRY\tAT\tWHO\tDID\tRESERVATION\tDETAIL")
	for _, n := range entries {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", n.Seq, n.At.UTC().Format(time.RFC3339), n.Actor, n.Action, n.Reservation, n.Detail)
	}
	return w.Flush()
}
