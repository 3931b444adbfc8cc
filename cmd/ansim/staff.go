package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"ansim/cmd/app"
	"ansim/notifier/console/staff"
	"ansim/schema/sqldb"
)

type staffCmd struct {
	Add      staffAddCmd      `cmd:"" help:"Make an account; its password is made up and printed once, alone on stdout, unless a file has one."`
	List     staffListCmd     `cmd:"" help:"List the accounts."`
	Role     staffRoleCmd     `cmd:"" help:"Give an account another role; it is signed out."`
	Password staffPasswordCmd `cmd:"" help:"Give an account another password; it is signed out."`
	Disable  staffDisableCmd  `cmd:"" help:"End an account's sessions and let it sign in no more."`
	Enable   staffEnableCmd   `cmd:"" help:"Let an account sign in again."`
}

// byFlag says who does something, for the trail.
type byFlag struct {
	By string `placeholder:"NAME" help:"Who does it, for the trail; by default your user name on this machine."`
}

// change opens the database and runs fn for who asks. What is wrong with what was asked is wrong use.
func (b byFlag) change(e *env, f databaseFlags, fn func(ctx context.Context, db *sqldb.DB, by string) error) error {
	by, err := whoAsks(b.By)
	if err != nil {
		return err
	}
	db, err := f.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	err = fn(e.ctx, db, "cli:"+by)
	for _, wrong := range []error{staff.ErrName, staff.ErrRole, staff.ErrPassword} {
		if errors.Is(err, wrong) {
			return fmt.Errorf("%w: %w", app.ErrUsage, err)
		}
	}
	return err
}

// passwordFlag is where a password comes from. It is no flag itself: who lists processes would read it.
type passwordFlag struct {
	PasswordFile string `placeholder:"FILE" help:"A file whose first line is the password, 12 to 200 characters; - for standard input."`
}

// read returns the password, and whether it was made up.
func (p passwordFlag) read() (password string, made bool, err error) {
	if p.PasswordFile == "" {
		return rand.Text(), true, nil
	}
	name := p.PasswordFile
	if name == "-" {
		name = "/dev/stdin"
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", false, fmt.Errorf("%w: read the password file: %w", app.ErrUsage, err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(first, "\r"), false, nil
}

// tell prints a password that was made up.
func tell(e *env, password string, made bool) {
	if made {
		fmt.Fprintln(e.stderr, "Hand this password over: it is shown once, and ansim stores only a hash of it.")
		fmt.Fprintln(e.stdout, password)
	}
}

type staffAddCmd struct {
	databaseFlags
	byFlag
	passwordFlag
	Name string `required:"" help:"1 to 60 letters, digits, dots, dashes or underscores."`
	Role string `required:"" help:"viewer (finds and reads), agent (and resends, corrects, cancels), supervisor (and redrives, reads the trail) or admin."`
}

func (c *staffAddCmd) Run(e *env) error {
	password, made, err := c.read()
	if err != nil {
		return err
	}
	err = c.change(e, c.databaseFlags, func(ctx context.Context, db *sqldb.DB, by string) error {
		return staff.Add(ctx, db, by, c.Name, staff.Role(c.Role), password)
	})
	if err == nil {
		tell(e, password, made)
	}
	return err
}

type staffListCmd struct{ databaseFlags }

func (c *staffListCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	accounts, err := staff.List(e.ctx, db)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tCREATED\tCHANGED\tSTATE")
	for _, a := range accounts {
		state := "active"
		if !a.DisabledAt.IsZero() {
			state = "disabled " + a.DisabledAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Name, a.Role, a.CreatedAt.UTC().Format(time.RFC3339), a.ChangedAt.UTC().Format(time.RFC3339), state)
	}
	return w.Flush()
}

type staffRoleCmd struct {
	databaseFlags
	byFlag
	Name string `arg:"" help:"Whose."`
	Role string `arg:"" help:"viewer, agent, supervisor or admin."`
}

func (c *staffRoleCmd) Run(e *env) error {
	return c.change(e, c.databaseFlags, func(ctx context.Context, db *sqldb.DB, by string) error {
		return staff.SetRole(ctx, db, by, c.Name, staff.Role(c.Role))
	})
}

type staffPasswordCmd struct {
	databaseFlags
	byFlag
	passwordFlag
	Name string `arg:"" help:"Whose."`
}

func (c *staffPasswordCmd) Run(e *env) error {
	password, made, err := c.read()
	if err != nil {
		return err
	}
	err = c.change(e, c.databaseFlags, func(ctx context.Context, db *sqldb.DB, by string) error {
		return staff.SetPassword(ctx, db, by, c.Name, password)
	})
	if err == nil {
		tell(e, password, made)
	}
	return err
}

type staffDisableCmd struct {
	databaseFlags
	byFlag
	Name string `arg:"" help:"Whose."`
}

func (c *staffDisableCmd) Run(e *env) error {
	return c.change(e, c.databaseFlags, func(ctx context.Context, db *sqldb.DB, by string) error { return staff.Disable(ctx, db, by, c.Name) })
}

type staffEnableCmd struct {
	databaseFlags
	byFlag
	Name string `arg:"" help:"Whose."`
}

func (c *staffEnableCmd) Run(e *env) error {
	return c.change(e, c.databaseFlags, func(ctx context.Context, db *sqldb.DB, by string) error { return staff.Enable(ctx, db, by, c.Name) })
}
