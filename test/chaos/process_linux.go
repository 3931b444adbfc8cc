package main

import "syscall"

// dieWithUs makes the kernel kill a process when this one is gone, however that ended.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
