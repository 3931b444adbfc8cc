package main

import (
	"fmt"
	"os"
	"time"

	"ansim/booking"
	"ansim/schema/sqldb"
)

type programmeCmd struct {
	Apply programmeApplyCmd `cmd:"" help:"Load or change a programme, its rules, sites and slots; applying a file twice changes nothing."`
	List  programmeListCmd  `cmd:"" help:"List the programmes."`
}

type programmeApplyCmd struct {
	databaseFlags
	File string `arg:"" type:"existingfile" help:"The programme, as YAML or JSON."`
}

func (c *programmeApplyCmd) Run(e *env) error {
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
	changes, err := booking.ApplyProgramme(e.ctx, db, p)
	if err != nil {
		return err
	}
	for _, ch := range changes {
		fmt.Fprintln(e.stdout, ch)
	}
	if len(changes) == 0 {
		fmt.Fprintln(e.stdout, "nothing to change")
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

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make an API key; it is printed once, alone on stdout."`
	List   keysListCmd   `cmd:"" help:"List the API keys, without their secrets."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke an API key; it stops working within a second."`
}

type keysCreateCmd struct {
	databaseFlags
	Name string `required:"" help:"Whose key it is."`
}

func (c *keysCreateCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	key, err := booking.CreateKey(e.ctx, db, c.Name)
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
	keys, err := booking.ListKeys(e.ctx, db)
	if err != nil {
		return err
	}
	for _, k := range keys {
		state := "active"
		if !k.RevokedAt.IsZero() {
			state = "revoked " + k.RevokedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(e.stdout, "%s\t%s\t%s\n", k.Name, k.CreatedAt.Format(time.RFC3339), state)
	}
	return nil
}

type keysRevokeCmd struct {
	databaseFlags
	Name string `arg:"" help:"The name that it was created with."`
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
