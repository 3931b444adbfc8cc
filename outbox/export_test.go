package outbox

import "time"

// A relay that stops on a machine that stands still gives up after its grace, and what it has published is published again, as it
// should. The tests that want each event once, or the lead handed over at once, wait for it.
func init() { grace = 30 * time.Second }
