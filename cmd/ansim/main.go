// Command ansim books places for people and makes sure that they know it: the service, a demonstration of it, a sandbox
// phone network, and the tools to run it. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // programmes name their time zones, and a small image may have none

	"github.com/alecthomas/kong"

	"ansim/cmd/app"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

type cli struct {
	Demo      demoCmd      `cmd:"" help:"Everything in one process: books N residents over the real HTTP API and shows each text arrive."`
	Rush      rushCmd      `cmd:"" help:"The night of 19 July 2021 again: everybody comes at once, things break, and a report says what came of it."`
	Crowd     crowdCmd     `cmd:"" hidden:""`
	Serve     serveCmd     `cmd:"" help:"The service."`
	Sandbox   sandboxCmd   `cmd:"" help:"The phone network on your laptop, on its own."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the database up to this program."`
	Programme programmeCmd `cmd:"" help:"Load, change or list programmes."`
	Keys      keysCmd      `cmd:"" help:"Create, list or revoke API keys."`
	Resend    resendCmd    `cmd:"" help:"Send the texts of a reservation again; may run beside a live service."`
	Freeze    freezeCmd    `cmd:"" help:"Stop sending: before a backup is put back, or when something is very wrong."`
	Resume    resumeCmd    `cmd:"" help:"Let sending go on; first finds out what went out already."`
	Parked    parkedCmd    `cmd:"" help:"What cannot go on by itself: list it by cause, and redrive it."`
	Prune     pruneCmd     `cmd:"" help:"Delete events, texts and idempotency keys that are past their time; serve does so by itself."`
	Staff     staffCmd     `cmd:"" help:"Accounts of those who answer residents."`
	Audit     auditCmd     `cmd:"" help:"The trail of what staff did."`
	Check     checkCmd     `cmd:"" help:"Judge the promises against the database; may run beside a live service."`
}

// env is what commands share.
type env struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
}

// errSilent ends with exit 1 and says nothing more: the command has said it.
var errSilent = errors.New("failed")

func main() {
	// Nothing of ours writes there, but Go's HTTP client does: what a server said out of turn, word by word, and the provider's
	// answers have phone numbers in them.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	ended, helpCode := false, 0
	parser, err := kong.New(&c, kong.Name("ansim"),
		kong.Description("Books a place for a person, and makes sure that the person knows it.\n\n"+
			"Flags beat environment variables. Exit codes: 0 done, 1 it failed, 2 wrong use."),
		kong.Writers(stdout, stderr), kong.UsageOnError(),
		kong.Exit(func(code int) { ended, helpCode = true, code }))
	if err != nil {
		fmt.Fprintln(stderr, "ansim:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if ended { // --help was printed
		return helpCode
	}
	if err != nil {
		fmt.Fprintf(stderr, "ansim: %v\nTry `ansim --help`, or `ansim COMMAND --help`.\n", err)
		return exitUsage
	}
	e := &env{ctx: ctx, stdout: stdout, stderr: stderr,
		log: slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	switch err := parsed.Run(e); {
	case err == nil:
		return exitDone
	case errors.Is(err, errSilent):
		return exitFailed
	case errors.Is(err, app.ErrUsage):
		fmt.Fprintln(stderr, "ansim:", err)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "ansim:", err)
		return exitFailed
	}
}
