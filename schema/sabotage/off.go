//go:build !sabotage

package sabotage

import "time"

// Point is a place at which a test build may die.
func Point(string) {}

// Now is the process's clock.
func Now() time.Time { return time.Now() }

// NoSweeper says that the process is to go without the sweeper.
func NoSweeper() bool { return false }

// Statements makes points of the statements of one transaction.
type Statements struct{}

// Before is passed before a statement.
func (*Statements) Before(string) {}

// After is passed after the statement that Before was called with.
func (*Statements) After() {}

// BeforeCommit is passed before COMMIT.
func (*Statements) BeforeCommit() {}

// AfterCommit is passed after COMMIT succeeded, before anybody knows.
func (*Statements) AfterCommit() {}
