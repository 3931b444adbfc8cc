package e2e

import (
	"testing"
	"time"
)

// people says how many take part: fewer where everything is slower, or where one is in a hurry.
func people(n int) int {
	if raceEnabled || testing.Short() {
		return n / 3
	}
	return n
}

// A stop in the middle of bookings loses nothing that was acknowledged, and sends nothing twice.
func TestSIGTERMWhileBooking(t *testing.T) {
	t.Parallel()
	in := embedded(t)
	first := in.serve(all)
	in.prepare()
	c := in.crowdOf(11, people(1500), 5)
	wait := c.start(2 * time.Minute)
	c.until(len(c.people) / 3)
	t.Logf("ended %s after SIGTERM", first.stop())
	in.serve(all)
	wait()
	in.everybodyKnows(2*time.Minute, c)
}

// underWay makes the phone network slow to answer, so that many requests are under way, and leaves each third text without
// receipts: what became of it after a kill is known to the network's list alone.
const underWay = `[{"match":{"every":3},"answer":"ok","delay":"300ms","callbacks":"none"},{"answer":"ok","delay":"300ms"}]`

// SIGKILL leaves requests to the provider of which nobody knows what became of them. They are found out, not repeated.
func TestSIGKILLWhileBooking(t *testing.T) {
	t.Parallel()
	in := embedded(t)
	first := in.serve(all)
	in.prepare()
	in.fault(underWay)
	c := in.crowdOf(12, people(1500), 5)
	wait := c.start(2 * time.Minute)
	for i := range 2 {
		c.until(len(c.people) * (i + 1) / 3)
		first.kill()
		first = in.serve(all)
	}
	wait()
	rep := in.everybodyKnows(3*time.Minute, c)
	t.Logf("figures: %+v", rep.Figures)
}
