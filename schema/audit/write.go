package audit

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for people: a line an invariant, its violations beneath it, then the figures.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, i := range r.Invariants {
		verdict := "ok"
		switch {
		case i.Violations > 0:
			verdict = "BROKEN"
		case i.Open > 0:
			verdict = "open"
		}
		fmt.Fprintf(tw, "%s\t%s\t%d checked\t%d broken\t%d open\t%s\n", verdict, i.ID, i.Checked, i.Violations, i.Open, i.Sentence)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, i := range r.Invariants {
		for _, e := range i.Examples {
			fmt.Fprintf(&b, "  %s: %s: %s\n", i.ID, e.Finding, e.ID)
		}
	}
	f := r.Figures
	fmt.Fprintf(&b, "booked %d, accepted %d, delivered %d, waiting %d, explained %d, lost %d, duplicates %d, oversold %d\n",
		f.Booked, f.Accepted, f.Delivered, f.Waiting, f.Explained, f.Lost, f.Duplicates, f.Oversold)
	_, err := io.WriteString(w, b.String())
	return err
}
