package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"ansim/booking"
	"ansim/schema/sqldb"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make an API key; it is printed once, alone on stdout."`
	List   keysListCmd   `cmd:"" help:"List the API keys, without their secrets."`
	Rotate keysRotateCmd `cmd:"" help:"Give a client a new key, printed once, alone on stdout; the old one works on for a while."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke an API key; it stops working within a second."`
}

type keysCreateCmd struct {
	databaseFlags
	Name    string    `required:"" help:"Whose key it is."`
	Scopes  []string  `default:"book,read,resend" help:"What it may do: book, read, resend, or admin for everything."`
	Rate    int       `placeholder:"N" help:"Most requests a second, in each process; no limit unless told."`
	Expires time.Time `placeholder:"TIME" help:"When it ends, as 2027-01-31T00:00:00+09:00; never unless told."`
}

func (c *keysCreateCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	key, err := booking.CreateKey(e.ctx, db, booking.KeySpec{Name: c.Name, Scopes: c.Scopes, Rate: c.Rate, ExpiresAt: c.Expires})
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stderr, "Keep this key: it is shown once, and ansim stores only a hash of it.")
	fmt.Fprintln(e.stdout, key)
	return nil
}

type keysListCmd struct{ databaseFlags }

func (c *keysListCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	keys, now, err := booking.ListKeys(e.ctx, db)
	if err != nil {
		return err
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tID\tSCOPES\tRATE\tCREATED\tEXPIRES\tLAST USED\tSTATE")
	for _, k := range keys {
		limit, state := "-", k.State(now)
		if k.Rate > 0 {
			limit = strconv.Itoa(k.Rate)
		}
		switch state {
		case "revoked":
			state += " " + at(k.RevokedAt)
		case "rotating":
			state += " until " + at(k.PreviousUntil)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.ID, strings.Join(k.Scopes, ","), limit, at(k.CreatedAt), at(k.ExpiresAt),
			at(k.LastUsedAt), state)
	}
	return w.Flush()
}

type keysRotateCmd struct {
	databaseFlags
	Name    string        `arg:"" help:"The name that it was created with, or its id."`
	Overlap time.Duration `default:"24h" help:"How long the old key works on; 0 ends it at once."`
}

func (c *keysRotateCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	key, until, err := booking.RotateKey(e.ctx, db, c.Name, c.Overlap)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "Keep this key: it is shown once. The one before works until %s; one that was before that has ended.\n", until.UTC().Format(time.RFC3339))
	fmt.Fprintln(e.stdout, key)
	return nil
}

type keysRevokeCmd struct {
	databaseFlags
	Name string `arg:"" help:"The name that it was created with, or its id."`
}

func (c *keysRevokeCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := booking.RevokeKey(e.ctx, db, c.Name); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "revoked", c.Name)
	return nil
}
