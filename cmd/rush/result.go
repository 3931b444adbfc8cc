package rush

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"ansim/schema/audit"
)

// Result is what came of a night.
type Result struct {
	Options     Options
	Began, Gate time.Time
	Ended       time.Time // when nothing was waited for any more
	Interrupted bool
	Faults      []happened
	Samples     []sample
	Audit       audit.Report
	Costs       []usage
	Roles       map[string]string // of the service's processes, by their names
	Empty       int64             // bytes of the database before the first booking
	Stored      int64             // at the end
	Machine     machine
	Notes       []string // what has to be known to read the figures

	// From the crowd's history and the network's log.
	Came, Booked, NoAnswer       int
	Refusals                     map[string]int // people, by the reason
	Requests, Early              int            // for a place
	Lookups, Cancels             int            // requests
	Overloaded, Unanswered, Full int
	Cancelled, ForOthers         int
	Told, NotTold                int // people with a place, with and without a text about it
	Phantoms                     int // texts about a place that nobody was told of; means nothing when Interrupted
	Wrong                        []string
	Texts                        int
	Delivered                    int64  // of them, as the phone network says
	Answer, Know, Look           spread // seconds
	Clicks, Bookings, Sent       []int  // a second, from the first second of the gate on
	Looks                        []int  // people who asked and were told that they are booked, a second
	Due                          []int  // how many waited for their text throughout that second
	FirstClick, LastText         time.Time
	LastReceipt                  time.Time // of those that the phone network has given; zero when there is none
}

// machine is where it was played, and by what.
type machine struct {
	System, Go, Commit, Database, Kafka string
	Processors                          int
	Processor, Kernel                   string // empty where the system does not say
	Memory                              int64  // bytes, 0 where the system does not say
}

// OK says whether the night went as promised.
func (r *Result) OK() bool {
	return !r.Interrupted && !r.Audit.Failed(true) && r.NotTold == 0 && r.Phantoms == 0 && len(r.Wrong) == 0 && r.NoAnswer == 0
}

func readHistory(path string) (entries []*entry, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the crowd's history: %w", err)
	}
	defer file.Close()
	lines := json.NewDecoder(bufio.NewReader(file))
	for {
		e := &entry{}
		err := lines.Decode(e)
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the crowd's history: %w", err)
		}
		entries = append(entries, e)
	}
}

// wrongs is how many contradictions are kept.
const wrongs = 20

func (r *Result) contradicts(what string) {
	if len(r.Wrong) < wrongs {
		r.Wrong = append(r.Wrong, what)
	}
}

// join holds what people were told against the texts that went out.
func (r *Result) join(entries []*entry, texts func(func(text)) error) error {
	first := map[string]time.Time{} // a reservation's first text
	var last time.Time
	perSecond := func(into *[]int, at time.Time) {
		n := int(at.Sub(r.Gate) / time.Second)
		if n < 0 {
			return
		}
		for len(*into) <= n {
			*into = append(*into, 0)
		}
		(*into)[n]++
	}
	err := texts(func(t text) {
		r.Texts++
		last = t.At
		perSecond(&r.Sent, t.At)
		if c := code.FindString(t.Body); c != "" {
			if _, seen := first[c]; !seen {
				first[c] = t.At
			}
		}
	})
	if err != nil {
		return err
	}
	r.LastText, r.Refusals = last, map[string]int{}
	known := map[string]bool{}
	var answer, know, look []float64
	for _, e := range entries {
		r.Requests, r.Early, r.Full = r.Requests+e.Requests, r.Early+e.Early, r.Full+e.Full
		r.Overloaded, r.Unanswered = r.Overloaded+e.Overloaded, r.Unanswered+e.Unanswered
		r.Lookups, r.Cancels = r.Lookups+e.Lookups, r.Cancels+e.Cancels
		for _, what := range e.Wrong {
			r.contradicts(fmt.Sprintf("person %d: %s", e.N, what))
		}
		if e.Requests == 0 || e.Click.After(r.Ended) {
			continue // was sent home before they clicked
		}
		r.Came++
		if r.FirstClick.IsZero() || e.Click.Before(r.FirstClick) {
			r.FirstClick = e.Click
		}
		perSecond(&r.Clicks, e.Click)
		switch e.Outcome {
		case "":
			r.NoAnswer++
			continue
		case booked:
		default:
			r.Refusals[e.Outcome]++
			continue
		}
		r.Booked++
		known[e.Code] = true
		perSecond(&r.Bookings, e.Answered)
		answer = append(answer, e.Answered.Sub(e.Click).Seconds())
		if e.Looked > 0 {
			look = append(look, e.Looked)
			perSecond(&r.Looks, e.LookedAt)
		}
		if e.Booker {
			r.ForOthers++
		}
		if e.Cancelled {
			r.Cancelled++
		}
		at, ok := first[e.Code]
		switch {
		case ok:
			r.Told++
			know = append(know, max(0, at.Sub(e.Click).Seconds()))
			r.waited(e.Answered, at)
		case !e.Cancelled: // who gave it back before the text began is told of that alone
			r.NotTold++
			r.waited(e.Answered, r.Ended)
		}
	}
	for c := range first {
		if !known[c] {
			r.Phantoms++
		}
	}
	r.Answer, r.Know, r.Look = spreadOf(answer), spreadOf(know), spreadOf(look)
	return nil
}

// waited notes the whole seconds in which somebody with a place waited for their text.
func (r *Result) waited(from, to time.Time) {
	first, end := int(math.Ceil(from.Sub(r.Gate).Seconds())), int(to.Sub(r.Gate)/time.Second)
	for i := max(0, first); i < end; i++ {
		for len(r.Due) <= i {
			r.Due = append(r.Due, 0)
		}
		r.Due[i]++
	}
}

// spread is how a figure is distributed over people.
type spread struct {
	N                        int
	P50, P90, P99, P999, Max float64
	Steps                    []step
}

// step is how many have a figure of at most so much.
type step struct {
	AtMost float64 // seconds
	N      int     // more than the step before
}

// bounds are the steps of a spread, in seconds: a text within a second is at once, and after a minute somebody worries.
var bounds = []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300}

func spreadOf(all []float64) (s spread) {
	if s.N = len(all); s.N == 0 {
		return s
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[min(len(all)-1, int(q*float64(len(all))))] }
	s.P50, s.P90, s.P99, s.P999, s.Max = at(.5), at(.9), at(.99), at(.999), all[len(all)-1]
	n := 0
	for _, b := range bounds {
		upTo, _ := slices.BinarySearchFunc(all, b, func(v, b float64) int {
			if v <= b {
				return -1
			}
			return 1
		})
		s.Steps = append(s.Steps, step{b, upTo - n})
		n = upTo
	}
	if n < len(all) {
		s.Steps = append(s.Steps, step{0, len(all) - n})
	}
	return s
}

// uncommitted is the note about a program of which no commit tells the source.
const uncommitted = "the program was built from files that are not committed"

// describe says where the night was played.
func (st *stage) describe(ctx context.Context, r *Result) error {
	r.Machine = machine{System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Processors: runtime.NumCPU(), Kafka: "embedded"}
	r.Machine.Processor, r.Machine.Kernel, r.Machine.Memory = hardware()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				r.Machine.Commit = s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				r.Notes = append(r.Notes, uncommitted)
			}
		}
	}
	query := `SELECT 'SQLite ' || sqlite_version()`
	if !st.embedded() {
		query, r.Machine.Kafka = `SELECT 'PostgreSQL ' || split_part(version(), ' ', 2)`, "Apache Kafka"
	}
	return st.db.Peek(ctx, &r.Machine.Database, query)
}
