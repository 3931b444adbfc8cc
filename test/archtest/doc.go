// Package archtest holds tests of the source tree itself: which package may import which, what lies at the top level, how
// long a file may be, and a few things that must not be written at all. It reads the files with go/parser rather than
// asking the go command, whose answers `go test` would not know to be inputs of the test.
package archtest
