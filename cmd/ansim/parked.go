package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strings"
	"unicode"
	"unicode/utf8"

	"ansim/cmd/app"
	"ansim/notifier"
	"ansim/schema/sqldb"
)

type parkedCmd struct {
	List    parkedListCmd    `cmd:"" help:"List what is parked, by cause."`
	Redrive parkedRedriveCmd `cmd:"" help:"Let what is parked go on: take events in again, ask for texts again."`
}

func (c *parkedCmd) Help() string {
	return "Parked are events that the notifier could not use, and texts that it holds for a person's decision or that failed. " +
		"Nothing is ever dropped: each is listed with its cause until it was redriven, or needs nobody any more."
}

type parkedListCmd struct {
	databaseFlags
	Kind     string `enum:"events,texts,all" default:"all" help:"What to list: events, texts or all."`
	Cause    string `placeholder:"CAUSE" help:"Only this cause, as the list writes it."`
	Language string `enum:"en,ko" default:"en" help:"Of the sentences: en or ko."`
	JSON     bool   `name:"json" help:"The last line of stdout is the list as one JSON object."`
}

func (c *parkedListCmd) Help() string {
	return "One line a cause: how many, since when, ids of some, and a sentence why. What says open waits for somebody; " +
		"superseded (the reservation has changed since) and past (the appointment is over) need nothing. It may run beside the service."
}

func (c *parkedListCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := app.Parked(db).List(e.ctx, notifier.Selection{Kind: kindFlag(c.Kind), Cause: c.Cause})
	if err != nil {
		return err
	}
	if err := writeParked(e.stdout, list, c.Language); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(e, struct {
			Open   int64                  `json:"open"`
			Causes []notifier.ParkedCause `json:"causes"`
		}{openOf(list), list})
	}
	return nil
}

type parkedRedriveCmd struct {
	databaseFlags
	ID               string `xor:"what" required:"" placeholder:"ID" help:"One parked event or text, by its id."`
	Cause            string `xor:"what" required:"" placeholder:"CAUSE" help:"All with this cause, as the list writes it."`
	All              bool   `xor:"what" required:"" help:"All, but texts that would fail again as they are."`
	Kind             string `enum:"events,texts,all" default:"all" help:"Which of them: events, texts or all."`
	Limit            int    `placeholder:"N" help:"Stop after N were redriven."`
	DryRun           bool   `help:"Change nothing, and say what would happen."`
	AcceptDuplicates bool   `help:"Also texts of which it is unknown whether they arrived: the person may get a second copy."`
	EvenPermanent    bool   `help:"With --all: also texts that will fail again unless the number was corrected at the carrier."`
	By               string `placeholder:"NAME" help:"Who asks, for the record; by default the user of this machine."`
	JSON             bool   `name:"json" help:"The last line of stdout is the report as one JSON object."`
}

func (c *parkedRedriveCmd) Help() string {
	return "An event is read and taken in again. A text is asked for again, as a resend with a number of its own. One item is one " +
		"transaction: Ctrl-C stops between two, and the same command goes on where it stopped. Repeating it, or running it " +
		"twice at once, redrives each item once.\n\n" +
		"Exit 0: done. Exit 1: something could not be redriven, or what --id or --cause named was skipped for want of a flag."
}

// Validate is called by kong.
func (c *parkedRedriveCmd) Validate() error {
	if c.Limit < 0 {
		return errors.New("--limit must not be negative; without it there is no limit")
	}
	if !c.All && c.ID == "" && c.Cause == "" { // an empty variable of a script must not mean everything
		return errors.New("--id or --cause is empty; say which one, or --all")
	}
	return nil
}

func (c *parkedRedriveCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	return c.redrive(e, app.Parked(db))
}

// redriveProgress is after how many items a line on stderr says how far a redrive is: every few seconds.
const redriveProgress = 1000

func (c *parkedRedriveCmd) redrive(e *env, p *notifier.Parked) error {
	by, err := whoAsks(c.By)
	if err != nil {
		return err
	}
	report, err := p.Redrive(e.ctx, notifier.RedriveOrder{
		Select: notifier.Selection{Kind: kindFlag(c.Kind), ID: c.ID, Cause: c.Cause},
		All:    c.All, Limit: c.Limit, DryRun: c.DryRun, AcceptDuplicates: c.AcceptDuplicates, EvenPermanent: c.EvenPermanent,
		By: "redrive:" + by,
		Progress: func(n notifier.RedriveCounts) {
			if (n.Redriven+n.Skipped+n.Failed)%redriveProgress == 0 {
				fmt.Fprintf(e.stderr, "redriven %d, skipped %d, failed %d …\n", n.Redriven, n.Skipped, n.Failed)
			}
		}})
	if errors.Is(err, notifier.ErrNotParked) {
		return fmt.Errorf("%s: %w; `ansim parked list` shows what is parked", c.ID, err)
	}
	if writeErr := writeRedriven(e.stdout, report); writeErr != nil {
		return writeErr
	}
	if report.Interrupted {
		fmt.Fprintf(e.stderr, "interrupted after %d redriven, %d skipped, %d failed; the same command goes on where it stopped\n",
			report.Redriven, report.Skipped, report.Failed)
	}
	if c.JSON {
		if err := writeJSON(e, report); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return errSilent
	case err != nil:
		return err
	case c.failed(report):
		return errSilent
	}
	return nil
}

// failed says whether something that was meant was not redriven and still waits for somebody.
func (c *parkedRedriveCmd) failed(r notifier.RedriveReport) bool {
	if c.DryRun {
		return false
	}
	for _, g := range r.Groups {
		if g.NeedsFlag() && !c.All {
			return true
		}
	}
	return r.Failed > 0
}

// whoAsks is the name with which what was asked for on the command line is recorded. With what stands before it, it must fit into 100 characters.
func whoAsks(by string) (string, error) {
	if by == "" {
		u, err := user.Current()
		if err != nil || u.Username == "" {
			return "", fmt.Errorf("%w: this machine does not tell your user name; say who asks with --by NAME", app.ErrUsage)
		}
		by = u.Username
	}
	if utf8.RuneCountInString(by) > 90 || strings.ContainsFunc(by, unicode.IsControl) {
		return "", fmt.Errorf("%w: --by takes at most 90 characters in one line", app.ErrUsage)
	}
	return by, nil
}

func kindFlag(kind string) notifier.ParkedKind {
	if kind == "all" {
		return ""
	}
	return notifier.ParkedKind(kind)
}

func writeJSON(e *env, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s\n", b)
	return err
}
