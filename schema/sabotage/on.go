//go:build sabotage

package sabotage

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Point kills the process when it was told so by ANSIM_CRASH_AT and passes for the time that was told.
func Point(name string) {
	if left := orders()[name]; left != nil && left.Add(-1) == 0 {
		fmt.Fprintf(os.Stderr, "{\"msg\":\"sabotage: dies\",\"point\":%q}\n", name)
		die()
	}
}

// die does not return, and lets nothing be cleaned up.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal arrives
}

// Now is the process's clock, as wrong as ANSIM_CLOCK says.
func Now() time.Time { return time.Now().Add(skew()) }

// NoSweeper says that ANSIM_SWEEPER is off.
func NoSweeper() bool { return os.Getenv("ANSIM_SWEEPER") == "off" }

var orders = sync.OnceValue(func() map[string]*atomic.Int64 {
	out := map[string]*atomic.Int64{}
	for _, order := range strings.Split(os.Getenv("ANSIM_CRASH_AT"), ",") {
		if order == "" {
			continue
		}
		name, nth, _ := strings.Cut(order, ":")
		n, err := strconv.ParseInt(nth, 10, 64)
		if err != nil || n < 1 {
			n = 1
		}
		out[name] = new(atomic.Int64)
		out[name].Store(n)
	}
	return out
})

var skew = sync.OnceValue(func() time.Duration {
	d, err := time.ParseDuration(os.Getenv("ANSIM_CLOCK"))
	if err != nil {
		return 0
	}
	return d
})

// changes finds the verb and the table of a statement that changes something.
var changes = regexp.MustCompile(`(?is)\b(?:(INSERT) INTO|(UPDATE)|(DELETE) FROM)\s+([a-z_]+)(?:\s+(?:AS\s+)?[a-z]+)?\s*(?:SET\b|\(|SELECT\b|USING\b|WHERE\b|DEFAULT\b)`)

// Statements makes points of the statements of one transaction.
type Statements struct{ statement, table string }

// Before is passed before a statement.
func (s *Statements) Before(query string) {
	s.statement = ""
	if m := changes.FindStringSubmatch(query); m != nil {
		s.table = strings.ToLower(m[4])
		s.statement = strings.ToLower(m[1]+m[2]+m[3]) + "." + s.table
		Point("before." + s.statement)
	}
}

// After is passed after the statement that Before was called with.
func (s *Statements) After() {
	if s.statement != "" {
		Point("after." + s.statement)
	}
}

// BeforeCommit is passed before COMMIT.
func (s *Statements) BeforeCommit() {
	if s.table != "" {
		Point("before.commit." + s.table)
	}
}

// AfterCommit is passed after COMMIT succeeded, before anybody knows.
func (s *Statements) AfterCommit() {
	if s.table != "" {
		Point("after.commit." + s.table)
	}
}
