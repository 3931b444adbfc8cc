package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// elsewhere are the promises that need another account than the database's, and how to have it read.
var elsewhere = []struct{ id, how string }{
	{"I14", "--kafka"}, {"I2-log", "--log"}, {"I6-log", "--log"}, {"I16-log", "--log"},
	{"I2-provider", "--provider"}, {"I6-provider", "--provider"}, {"I16-provider", "--provider"},
}

// WriteText writes the report for people: a line an invariant, what is wrong beneath, then the figures.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "\tid\tchecked\tbroken\topen\tpromise\n")
	for _, i := range r.Invariants {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%s\n", i.verdict(), i.ID, i.Checked, i.Violations, i.Open, i.Sentence)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, i := range r.Invariants {
		for _, e := range i.Examples {
			fmt.Fprintf(&b, "  %s: %s: %s\n", i.ID, e.Finding, e.ID)
		}
		for _, n := range i.Notes {
			fmt.Fprintf(&b, "  %s: %s\n", i.ID, n)
		}
	}
	var missing []string
	for _, e := range elsewhere {
		if !slices.ContainsFunc(r.Invariants, func(i Invariant) bool { return i.ID == e.id }) {
			missing = append(missing, e.id+" ("+e.how+")")
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(&b, "not asked: %s\n", strings.Join(missing, ", "))
	}
	r.Figures.write(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (i Invariant) verdict() string {
	switch {
	case i.Violations > 0:
		return "BROKEN"
	case i.Open > 0:
		return "open"
	}
	return "ok"
}

func (f Figures) write(b *strings.Builder) {
	fmt.Fprintf(b, "confirmations: booked %d, accepted %d, delivered %d, waiting %d, explained %d, lost %d\n",
		f.Booked, f.Accepted, f.Delivered, f.Waiting, f.Explained, f.Lost)
	fmt.Fprintf(b, "all texts: duplicates %d, duplicates risked on purpose %d, unconfirmed %d, held %d; events parked %d; oversold %d\n",
		f.Duplicates, f.Risked, f.Unconfirmed, f.Held, f.Parked, f.Oversold)
	q := f.Queue
	fmt.Fprintf(b, "waiting: events %d, texts %d, answers %d, lost answers %d, receipts %d; the oldest text for %s\n",
		q.Events, q.Send, q.Answer, q.Look, q.Poll, (time.Duration(q.OldestSeconds * float64(time.Second))).Round(time.Second))
}
