// Command chaos breaks ansim in every way that its table of faults × stages knows, and wants nobody to be harmed:
//
//	go run ./test/chaos                          every fault once, and 500 deaths at crash points; on both kinds of installation
//	go run ./test/chaos list                     the table: which fault is met by which stage, and where
//	go run ./test/chaos -minutes N -seed S       pairs of faults for so long
//	go run ./test/chaos recovery                 how long until the next text after a process, or everything, was killed
//
// An installation is real processes of a build that listens to package sabotage: a phone network that is never harmed and
// that has each text on disk before it answers; SQLite and the embedded broker in one serving process, or PostgreSQL and
// Apache Kafka (which it starts for itself, behind proxies) and two processes for each role. While a crowd books, moves,
// corrects, cancels and asks again, insisting until each has an answer, the faults happen; then all is healed, and it has to
// converge. In the end three accounts that know nothing of each other are joined: what people were told, the network's log,
// and the database; `ansim check --settled` has its say as well. Half of the rounds have no sweeper, and in the others a
// rescue fails the round unless Kafka was hurt.
//
// A round's schedule comes from its seed: who comes, which fault is next, at which pass a process dies. What the processes
// make of it is up to the machine, so a seed brings back the schedule and not every interleaving. A failed round prints its
// seed and what was done when, and keeps its logs. Everything is on loopback, bounded, and ends by itself. Exit 0 when every
// round was clean.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// settings are the flags.
type settings struct {
	minutes int
	seed    uint64
	kills   int
	on      string
	only    string
	kind    string
}

func main() {
	var s settings
	flag.IntVar(&s.minutes, "minutes", 0, "meet pairs of faults for so many `minutes`, instead of each fault once")
	flag.Uint64Var(&s.seed, "seed", 0, "the schedule's `seed`; 0 takes a new one")
	flag.IntVar(&s.kills, "kills", 500, "how many processes are to die at crash points")
	flag.StringVar(&s.on, "on", "embedded,servers", "on which `installations`")
	flag.StringVar(&s.kind, "rounds", "storm,singles", "which `rounds`")
	flag.StringVar(&s.only, "only", "", "of the single faults, those whose name contains this `text`")
	what := ""
	args := os.Args[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		what, args = args[0], args[1:]
	}
	_ = flag.CommandLine.Parse(args) // it exits by itself
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case what == "list":
		err = list(os.Stdout)
	case what == "recovery":
		err = recovery(ctx, os.Stdout)
	case what != "" || flag.NArg() > 0:
		fmt.Fprintln(os.Stderr, "chaos: say list, recovery, or nothing; -h shows the flags")
		os.Exit(2)
	default:
		err = chaos(ctx, s, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

var errFailed = errors.New("a round failed")

// chaos plays the rounds: those of the two kinds of installation beside each other, since each spends much of its time waiting.
func chaos(ctx context.Context, s settings, out io.Writer) error {
	if s.seed == 0 {
		s.seed = rand.Uint64N(1_000_000)
	}
	out = &shared{out: out}
	commit, err := goTool(ctx, "list", "-m")
	if err != nil {
		return err
	}
	if b, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		commit = strings.TrimSpace(commit) + " " + string(b)
	}
	fmt.Fprintf(out, "%s, seed %d: go run ./test/chaos -minutes %d -kills %d -seed %d\n", strings.TrimSpace(commit), s.seed, s.minutes, s.kills, s.seed)
	dir, err := os.MkdirTemp("", "ansim-chaos-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := build(ctx, dir)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var results []result
	var both sync.WaitGroup
	for i, on := range []place{servers, embedded} {
		if !strings.Contains(s.on, string(on)) {
			continue
		}
		both.Go(func() {
			for n, rd := range rounds(s, on) {
				rd.binary, rd.out, rd.seed = binary, out, s.seed+uint64(100*n+i)
				res := rd.run(ctx)
				fmt.Fprintf(out, "%s\n", res.line())
				mu.Lock()
				results = append(results, res)
				mu.Unlock()
				if ctx.Err() != nil || !res.ok() {
					return
				}
			}
		})
	}
	both.Wait()
	return report(out, results)
}

// rounds are those of one kind of installation.
func rounds(s settings, on place) (out []round) {
	if s.minutes > 0 {
		const each = 5
		for n := range (s.minutes + each - 1) / each {
			d := time.Duration(min(each, s.minutes-n*each)) * time.Minute
			out = append(out, round{name: fmt.Sprintf("%s, pairs %d, %s", on, n+1, sweeperWords(n%2 == 0)), place: on, sweeper: n%2 == 0, play: pairs(d)})
		}
		return out
	}
	kills := s.kills * 3 / 10
	if on == servers || !strings.Contains(s.on, string(servers)) {
		kills = s.kills - kills
	}
	if strings.Contains(s.kind, "storm") {
		out = append(out, round{name: string(on) + ", crash points, no sweeper", place: on, play: storm(kills)})
	}
	if strings.Contains(s.kind, "singles") {
		out = append(out, round{name: string(on) + ", every fault once", place: on, sweeper: true, play: singles(s.only)})
	}
	return out
}

func sweeperWords(on bool) string {
	if on {
		return "with the sweeper"
	}
	return "no sweeper"
}

func (r *result) line() string {
	state := "clean"
	if !r.ok() {
		state = "FAILED"
	}
	return fmt.Sprintf("%s: %s; %d people, %d requests (%d without an answer), %d kills, %d texts, %d further attempts, %d rescued, %d held; "+
		"settled %.0f s after the last fault", r.Round, state, r.People, r.Requests, r.Unknown, r.Kills, r.Texts, r.Further, r.Rescued, r.Held, r.Healed)
}

// report prints the sum as one JSON object, the last line.
func report(out io.Writer, results []result) error {
	line, err := json.Marshal(map[string]any{"rounds": results})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", line)
	for _, r := range results {
		if !r.ok() {
			return errFailed
		}
	}
	return nil
}

// list prints the table.
func list(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tstage\thow\twhere")
	for _, p := range points {
		fmt.Fprintf(w, "kill -9\t%s\t%s\tembedded, servers (crash points)\n", p.stage, p.name)
	}
	for _, c := range table() {
		where := "embedded, servers"
		switch {
		case c.elsewhere != "":
			pkg, test, _ := strings.Cut(c.elsewhere, ": ")
			where = fmt.Sprintf("go test ./%s -run %s", pkg, test)
		case c.long:
			where = string(c.on) + ", only with -minutes"
		case c.on != "":
			where = string(c.on)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.fault, c.stage, c.how, where)
	}
	return w.Flush()
}

// goTool runs the go command.
func goTool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, complaint.Bytes())
	}
	return string(b), nil
}

// shared lets rounds write beside each other.
type shared struct {
	mu  sync.Mutex
	out io.Writer
}

// Write implements io.Writer.
func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}
