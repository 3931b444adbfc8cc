//go:build !linux

package main

import "syscall"

// dieWithUs can ask for nothing here.
func dieWithUs() *syscall.SysProcAttr { return nil }
