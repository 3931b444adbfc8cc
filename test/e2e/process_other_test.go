//go:build !linux

package e2e

import "syscall"

// dieWithParent can ask for nothing here: what a test started outlives a test process that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
