//go:build !linux

package kafkatest

import "syscall"

// dieWithParent can ask for nothing here: a broker outlives a test that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
