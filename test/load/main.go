// Command load measures ansim on PostgreSQL and Apache Kafka, which it starts for itself on this machine:
//
//	go run ./test/load [-only relay,published,latency,booking,sqlite,past,pages,sending,history,texts,steady] [-profile DIR]
//
// It prints a table and, as its last line, the same as one JSON object. The figures are what this machine did with
// everything on it at once: the databases, the phone network and the crowd all take from the same processors, so each figure
// comes with the CPU time that every process took and the machine's load average before. There are no thresholds.
//
// What is measured runs as in production: `relay`, `published` and `latency` use the relay, publisher and consumer in this process;
// `booking`, `past`, `pages`, `sending`, `history`, `texts` and `steady` use a serving process of its own, a phone network that makes its log durable, and a crowd on
// keep-alive connections, each a process too. Databases are fresh for each part, with fsync on. It takes some twenty
// minutes, most of them to write pasts of ten million bookings, texts and events.
//
// It needs PostgreSQL's programs, Java and Kafka's jars; see packages dbtest and kafkatest for where they are found.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// settings are the flags.
type settings struct {
	rows    int           // of the relay's backlog
	people  int           // who book and are texted
	history int           // reservations, messages and events of long ago
	window  time.Duration // of each latency, booking and steady run
	rate    int           // people a second who come to the steady one
	profile string        // folder for CPU and heap profiles, "" for none
	report  *report       // where it is written down
}

// figure is one line of the table.
type figure struct {
	Part  string  `json:"part"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bare  string  `json:"bare,omitempty"` // what a program with the same flow and no rules at all did on such a machine
}

// report is everything that was found out.
type report struct {
	Figures []figure `json:"figures"`
	Notes   []string `json:"notes"` // what ran beside
}

func (r *report) add(part, name string, value float64, unit, bare string) {
	r.Figures = append(r.Figures, figure{part, name, value, unit, bare})
}

// part is one measurement.
type part struct {
	name string
	run  func(context.Context, *stage, settings, *report) error
}

// parts are all of them, in the order in which they run.
var parts = []part{
	{"relay", drainBacklog},
	{"published", drainWithHistory},
	{"latency", commitToConsumer},
	{"booking", bookHotSlot},
	{"sqlite", bookOnSQLite},
	{"past", bookWithHistory},
	{"pages", askAtPages},
	{"sending", sendOnly},
	{"history", sendWithHistory},
	{"texts", bookAndText},
	{"steady", bookSteadily},
}

func main() {
	if len(os.Args) == 2 && children[os.Args[1]] != nil { // a process of ours, started by child
		if err := children[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	var s settings
	only := flag.String("only", "relay,published,latency,booking,sqlite,past,pages,sending,history,texts,steady", "which `parts` to measure")
	flag.IntVar(&s.rows, "rows", 200_000, "rows of the relay's backlog")
	flag.IntVar(&s.people, "people", 20_000, "people who book and are texted")
	flag.IntVar(&s.history, "history", 10_000_000, "past reservations, finished messages and published events that are there before")
	flag.DurationVar(&s.window, "window", 15*time.Second, "length of each latency, booking and steady run")
	flag.IntVar(&s.rate, "rate", 1000, "people a second who come in the steady run")
	flag.StringVar(&s.profile, "profile", "", "write CPU and heap profiles of each part to this `folder`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, only []string) error {
	for _, name := range only {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	r := &report{Notes: []string{fmt.Sprintf("%d processors, %s", runtime.NumCPU(), runtime.Version())}}
	s.report = r
	for _, p := range parts {
		if !slices.Contains(only, p.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", p.name)
		st := &stage{part: p.name, profile: s.profile, names: map[int]string{}}
		err := p.run(ctx, st, s, r)
		st.end()
		if err != nil { // what was measured before is shown all the same
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), r.print(os.Stdout))
		}
	}
	return r.print(os.Stdout)
}

func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "part\twhat\tfigure\t\tbare program")
	for _, f := range r.Figures {
		number := fmt.Sprintf("%.1f", f.Value)
		switch {
		case f.Value >= 100 || f.Value == float64(int(f.Value)):
			number = fmt.Sprintf("%.0f", f.Value)
		case f.Value < 1:
			number = fmt.Sprintf("%.2g", f.Value)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.Part, f.Name, number, f.Unit, f.Bare)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nbeside it")
	for _, n := range r.Notes {
		fmt.Fprintln(out, "  "+n)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

// profiled writes a CPU profile until the function that it returns is called, and then one of the heap. Without a folder it
// does nothing.
func profiled(folder, name string) (func(), error) {
	if folder == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	cpu, err := os.Create(filepath.Join(folder, name+".cpu"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = cpu.Close()
		if heap, err := os.Create(filepath.Join(folder, name+".heap")); err == nil {
			_ = pprof.Lookup("allocs").WriteTo(heap, 0)
			_ = heap.Close()
		}
	}, nil
}

// quantile is the value below which the part q of sorted lies, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(len(sorted)-1, int(q*float64(len(sorted))))
	return float64(sorted[i]) / float64(time.Millisecond)
}
