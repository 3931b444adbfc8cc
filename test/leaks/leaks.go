// Package leaks fails a package's tests when something still runs after all that they started was stopped.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long what ends by itself may take. goleak waits for less than half a second, and pgx, when a query was given up,
// asks the server in a goroutine of its own to end it: that lasts until the server has answered.
const patience = 30 * time.Second

// Main runs the tests, for TestMain, and does not return.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := leak(options); err != nil {
			fmt.Fprintf(os.Stderr, "the tests passed, and left something behind: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

func leak(options []goleak.Option) error {
	for began := time.Now(); ; {
		if err := goleak.Find(options...); err == nil || time.Since(began) > patience {
			return err
		}
	}
}
