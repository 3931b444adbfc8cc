package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ansim/cmd/app"
	"ansim/cmd/rush"
)

type rushCmd struct {
	People      *int          `placeholder:"N" help:"How many people come. By default 5,000 embedded, and the 337,620 of that night on PostgreSQL and Kafka."`
	Over        time.Duration `placeholder:"DURATION" help:"Within which everybody clicks. By default a second for each 250 people, at least 20s and at most 2m."`
	Seed        uint64        `default:"20210719" help:"Of the crowd: the same seed gives the same people, who come at the same times."`
	DatabaseURL string        `placeholder:"URL" help:"postgres://… of an empty database. Without it everything is embedded."`
	Kafka       string        `placeholder:"BROKERS" help:"host:port,… of an empty Kafka; goes with --database-url."`
	Faults      rush.Faults   `default:"night" enum:"none,night,harsh" help:"What is broken on purpose meanwhile: none, night or harsh."`
	Elsewhere   bool          `help:"Lets the database and the brokers be on another machine."`
	Language    rush.Language `default:"en" enum:"en,ko" help:"Of the report: en or ko."`
	Report      string        `placeholder:"FILE.html" help:"Where the report goes; it is overwritten."`
	JSON        bool          `name:"json" help:"The last line of stdout is the outcome as one JSON object."`
}

func (c *rushCmd) Help() string {
	return "Starts what it needs (a phone network, the service, the crowd, each a process of its own), lets everybody come when a gate opens, " +
		"breaks some of it, and judges what came of it. The gate, which opened at 20:00 on 19 July 2021 for people who had tried since 19:58, " +
		"opens some seconds after the first of them try. Exit 0 only if everybody got an answer, everybody who has a place was told so by text, once, " +
		"and no promise was broken. For brokers that want TLS or a login the settings ANSIM_KAFKA_… of serve are read from the environment."
}

func (c *rushCmd) Run(e *env) (err error) {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	o := rush.Options{Over: c.Over, Seed: c.Seed, DatabaseURL: c.DatabaseURL, Kafka: c.Kafka,
		Faults: c.Faults, Language: c.Language, Elsewhere: c.Elsewhere, Program: program}
	if c.People != nil {
		if o.People = *c.People; o.People < 1 {
			return fmt.Errorf("%w: --people must be at least 1", app.ErrUsage)
		}
	}
	if c.Kafka != "" {
		o.KafkaAccess = app.EnvKafkaAccess()
		if _, err := o.KafkaAccess.Cluster("--kafka", c.Kafka); err != nil {
			return err
		}
	}
	var (
		report *os.File
		whole  bool // then it is kept, whatever becomes of its name
	)
	if c.Report != "" { // that it cannot be written is known now, not after the night
		if there, err := os.Stat(c.Report); err == nil && !there.Mode().IsRegular() {
			return fmt.Errorf("%w: the report cannot be written there: %s is no file", app.ErrUsage, c.Report)
		}
		if report, err = os.CreateTemp(filepath.Dir(c.Report), ".rush-*.html"); err != nil {
			return fmt.Errorf("%w: the report cannot be written there: %w", app.ErrUsage, err)
		}
		defer func() {
			_ = report.Close()
			if !whole {
				_ = os.Remove(report.Name())
			}
		}()
	}
	shown := newProgress(e.stdout)
	o.Watch, o.Say = shown.watch, shown.say
	res, err := rush.Run(e.ctx, o)
	shown.close()
	if err != nil {
		return err
	}
	if err := res.WriteText(e.stdout); err != nil {
		return err
	}
	if report != nil {
		if err := errors.Join(res.WriteHTML(report), report.Chmod(0o644), report.Close()); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		whole = true
		if err := os.Rename(report.Name(), c.Report); err != nil {
			return fmt.Errorf("the report is whole, and stays at %s: %w", report.Name(), err)
		}
		fmt.Fprintln(e.stdout, "the report:", c.Report)
	}
	if c.JSON {
		b, err := json.Marshal(res.Summary())
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s\n", b)
	}
	if !res.OK() {
		return errSilent
	}
	return nil
}

// crowdCmd is the crowd's process, which `ansim rush` starts.
type crowdCmd struct{}

func (crowdCmd) Run(e *env) error { return rush.Crowd(e.ctx, os.Stdin, e.stdout) }
