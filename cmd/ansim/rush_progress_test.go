package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/cmd/rush"
)

// TestABarIsFullWhenItsStepIsDone, and each counts one thing.
func TestABarIsFullWhenItsStepIsDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at   rush.Progress
		want map[string][2]int64
	}{
		"the first second": {rush.Progress{People: 1000, Booked: 100, Refused: 1, Published: 90, Events: 1001, Texted: 80, Texts: 1005, Arrived: 10},
			map[string][2]int64{"answered": {101, 1000}, "published": {90, 1001}, "texted": {80, 1005}, "delivered": {10, 1005}}},
		"the end": {rush.Progress{People: 1000, Booked: 990, Refused: 10, Published: 1010, Events: 1010, Texted: 1090, Texts: 1090, Arrived: 1090, Over: true},
			map[string][2]int64{"answered": {1000, 1000}, "published": {1010, 1010}, "texted": {1090, 1090}, "delivered": {1090, 1090}}},
	} {
		got := map[string][2]int64{}
		for _, s := range steps() {
			done, of := s.at(c.at)
			got[s.name] = [2]int64{done, of}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheTimeToGoIsNotKnownBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{"--:--": toGo(0, 600, time.Second), "01:30": toGo(100, 1000, 10*time.Second), "00:00": toGo(600, 600, time.Minute)} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
