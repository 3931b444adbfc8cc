package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"ansim/booking"
	"ansim/schema/sqldb"
)

type programmeCmd struct {
	Apply programmeApplyCmd `cmd:"" help:"Load or change a programme, its rules, sites and slots; applying a file twice changes nothing."`
	List  programmeListCmd  `cmd:"" help:"List the programmes."`
	Log   programmeLogCmd   `cmd:"" help:"Show what was changed of programmes, when, and by whom."`
}

type programmeApplyCmd struct {
	databaseFlags
	File   string `arg:"" type:"existingfile" help:"The programme, as YAML or JSON."`
	DryRun bool   `help:"Only say what would be changed, or what is against it."`
	By     string `placeholder:"NAME" help:"Who changes it, for the log; by default your user name on this machine."`
}

func (c *programmeApplyCmd) Run(e *env) error {
	by, err := whoAsks(c.By)
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := booking.ParseProgramme(f)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	changes, err := booking.ApplyProgramme(e.ctx, db, p, booking.ApplyOptions{By: by, DryRun: c.DryRun})
	if err != nil {
		return err
	}
	for _, ch := range changes {
		fmt.Fprintln(e.stdout, ch)
	}
	switch {
	case len(changes) == 0:
		fmt.Fprintln(e.stdout, "nothing to change")
	case c.DryRun:
		fmt.Fprintln(e.stderr, "nothing was changed: this was a dry run")
	}
	return nil
}

type programmeListCmd struct{ databaseFlags }

func (c *programmeListCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := booking.ListProgrammes(e.ctx, db)
	if err != nil {
		return err
	}
	for _, p := range list.Programmes {
		fmt.Fprintf(e.stdout, "%s\t%s – %s\t%s\n", p.ID, p.OpensAt.Format(time.RFC3339), p.ClosesAt.Format(time.RFC3339), p.Name.En)
	}
	return nil
}

type programmeLogCmd struct {
	databaseFlags
	ID string `arg:"" optional:"" help:"Only of this programme."`
}

func (c *programmeLogCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	log, err := booking.ProgrammeLog(e.ctx, db, c.ID)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, l := range log {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.At.UTC().Format(time.RFC3339), l.By, l.ProgrammeID, l.Change)
	}
	if len(log) == 0 {
		fmt.Fprintln(e.stderr, "no change is on record")
	}
	return w.Flush()
}
