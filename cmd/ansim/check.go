package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"ansim/schema/audit"
	"ansim/schema/sqldb"
)

type checkCmd struct {
	databaseFlags
	Settled bool   `help:"Make what is open, but inside its deadline, a failure too."`
	Log     string `placeholder:"FILE|URL" help:"The sandbox's log (its file, or http://…/sandbox/log), to join with what the database says."`
	JSON    bool   `name:"json" help:"The last line of stdout is the report as one JSON object."`
}

func (c *checkCmd) Help() string {
	return "Reads one snapshot and writes nothing. Exit 0: no violation; what is still inside its deadline is reported as open. Exit 1: violations."
}

func (c *checkCmd) Run(e *env) error {
	db, err := c.open(e.ctx, sqldb.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	var log io.Reader
	if c.Log != "" {
		r, err := c.openLog(e)
		if err != nil {
			return fmt.Errorf("read the sandbox's log: %w", err)
		}
		defer r.Close()
		log = r
	}
	report, err := audit.Run(e.ctx, db, audit.Options{Log: log})
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
