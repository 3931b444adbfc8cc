package e2e

import "syscall"

// dieWithParent makes the kernel kill a process when the test process is gone, however that ended.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
