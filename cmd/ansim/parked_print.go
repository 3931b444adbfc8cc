package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"ansim/notifier"
)

func openOf(list []notifier.ParkedCause) (n int64) {
	for _, g := range list {
		if g.Standing == notifier.StandingOpen {
			n += g.Count
		}
	}
	return n
}

// writeParked prints what is parked as a table for people.
func writeParked(w io.Writer, list []notifier.ParkedCause, language string) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing is parked")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "KIND\tCAUSE\tSTANDING\tCOUNT\tOLDEST\tNEWEST\tFOR EXAMPLE")
	for _, g := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", g.Kind, g.Cause, g.Standing, g.Count, g.Oldest.Format(time.RFC3339),
			g.Newest.Format(time.RFC3339), strings.Join(g.Examples, " "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	said := map[string]bool{}
	for _, g := range list {
		why := g.Why.En
		if language == "ko" {
			why = g.Why.Ko
		}
		if why != "" && !said[g.Cause] {
			said[g.Cause] = true
			fmt.Fprintf(&b, "%s: %s\n", g.Cause, why)
		}
	}
	fmt.Fprintf(&b, "%d open\n", openOf(list))
	_, err := fmt.Fprint(w, "\n", b.String())
	return err
}

// skippedWhy says in words why something was skipped.
var skippedWhy = map[string]string{
	notifier.SkippedMayHaveArrived:      "it may have arrived; --accept-duplicates sends it all the same",
	notifier.SkippedPermanent:           "it would fail again as it is; name its --id or --cause, or say --even-permanent",
	notifier.SkippedGone:                "not parked any more",
	string(notifier.StandingSentAgain):  "it was sent again already",
	string(notifier.StandingSuperseded): "the reservation has changed since; the later text counts",
	string(notifier.StandingPast):       "the appointment is over",
	string(notifier.StandingOrphan):     "its reservation does not exist",
}

// writeRedriven prints what a redrive did, or would do.
func writeRedriven(w io.Writer, r notifier.RedriveReport) error {
	if len(r.Groups) == 0 {
		_, err := fmt.Fprintln(w, "nothing to redrive")
		return err
	}
	words := map[notifier.RedriveOutcome]string{notifier.Redriven: "redriven", notifier.Skipped: "skipped", notifier.Unmoved: "failed"}
	if r.DryRun {
		words = map[notifier.RedriveOutcome]string{notifier.Redriven: "would redrive", notifier.Skipped: "would skip",
			notifier.Unmoved: "would fail"}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "KIND\tCAUSE\tOUTCOME\tCOUNT\tFOR EXAMPLE\tWHY")
	vain := false
	for _, g := range r.Groups {
		why := g.Why
		if said, ok := skippedWhy[why]; ok && g.Outcome == notifier.Skipped {
			why = said
		}
		vain = vain || g.Permanent && g.Outcome == notifier.Redriven
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\t%s\n", g.Kind, g.Cause, words[g.Outcome], g.Count, strings.Join(g.Examples, " "), why)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if vain {
		fmt.Fprintln(w, "\nWarning: some of these texts failed for good. Sent to the same number as it is, they fail again: correct the number first.")
	}
	_, err := fmt.Fprintf(w, "\n%s %d, %s %d, %s %d\n", words[notifier.Redriven], r.Redriven, words[notifier.Skipped], r.Skipped,
		words[notifier.Unmoved], r.Failed)
	return err
}
