package booking

import (
	"fmt"
	"testing"
	"time"
)

// A network that fails too often is told to wait, while its neighbours still find what is theirs.
func TestFailuresOfANetwork(t *testing.T) {
	t.Parallel()
	now := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)
	limits := newLookupLimits(func() time.Time { return now })
	for range networkFailures {
		if wait := limits.networks.count("192.0.2.1"); wait > 0 {
			t.Fatalf("told to wait %v", wait)
		}
	}
	if wait := limits.networks.count("192.0.2.1"); wait == 0 {
		t.Error("one more failure is not limited")
	}
	if wait := limits.networks.count("192.0.2.2"); wait != 0 {
		t.Errorf("a neighbour waits %v", wait)
	}
	for i := range maxLimits { // until no more are remembered
		limits.codes.count(fmt.Sprint(i))
	}
	if wait := limits.codes.count("one more"); wait == 0 || len(limits.codes.of) != maxLimits {
		t.Errorf("%d are remembered, waits %v", len(limits.codes.of), wait)
	}
	now = now.Add(time.Hour)
	if wait := limits.codes.count("one more"); wait != 0 || len(limits.codes.of) != 1 {
		t.Errorf("an hour later: %d are remembered, waits %v", len(limits.codes.of), wait)
	}
}
