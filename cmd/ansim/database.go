package main

import (
	"context"
	"fmt"

	"ansim/cmd/app"
	"ansim/schema"
	"ansim/schema/sqldb"
)

// databaseFlags name the database.
type databaseFlags struct {
	DatabaseURL string `env:"ANSIM_DATABASE_URL" placeholder:"URL" help:"sqlite:PATH or postgres://…; by default ansim.db in the data folder."`
	Data        string `env:"ANSIM_DATA" default:"ansim-data" placeholder:"DIR" help:"Folder of the embedded database and broker."`
}

// open opens the database and makes sure that its tables are this program's.
func (f databaseFlags) open(ctx context.Context, opts sqldb.Options) (*sqldb.DB, error) {
	db, err := sqldb.Open(ctx, app.Config{DatabaseURL: f.DatabaseURL, Data: f.Data}.Database(), opts)
	if err != nil {
		return nil, err
	}
	if err := schema.Check(ctx, db); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

type migrateCmd struct {
	databaseFlags
	DryRun bool `help:"Only say what would be done."`
}

func (c *migrateCmd) Run(e *env) error {
	db, err := sqldb.Open(e.ctx, app.Config{DatabaseURL: c.DatabaseURL, Data: c.Data}.Database(), sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	names, err := schema.Migrate(e.ctx, db, c.DryRun)
	if err != nil {
		return err
	}
	word := "migrated"
	if c.DryRun {
		word = "would migrate"
	}
	for _, n := range names {
		fmt.Fprintln(e.stdout, word, n)
	}
	if len(names) == 0 {
		fmt.Fprintln(e.stdout, "nothing to migrate: the database is up to this program")
	}
	return nil
}
