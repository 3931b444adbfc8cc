package guesses

import (
	"fmt"
	"testing"
	"time"
)

// Who fails too often is told to wait, while its neighbours still find what is theirs.
func TestCounter(t *testing.T) {
	t.Parallel()
	now := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)
	c := New(3000, time.Hour, func() time.Time { return now })
	for range 3000 {
		if wait := c.Count("192.0.2.1"); wait > 0 {
			t.Fatalf("told to wait %v", wait)
		}
	}
	if wait := c.Count("192.0.2.1"); wait == 0 {
		t.Error("one more failure is not limited")
	}
	if wait := c.Count("192.0.2.2"); wait != 0 {
		t.Errorf("a neighbour waits %v", wait)
	}
	c = New(10, time.Hour, func() time.Time { return now })
	if wait := c.Wait("nobody"); wait != 0 {
		t.Errorf("who never failed waits %v", wait)
	}
	for i := range most { // until no more are remembered
		c.Count(fmt.Sprint(i))
	}
	if wait := c.Count("one more"); wait == 0 || len(c.of) != most {
		t.Errorf("%d are remembered, waits %v", len(c.of), wait)
	}
	now = now.Add(time.Hour)
	if wait := c.Count("one more"); wait != 0 || len(c.of) != 1 {
		t.Errorf("an hour later: %d are remembered, waits %v", len(c.of), wait)
	}
}
