package dbtest

import "syscall"

// attributes makes a process run as cred and end, as a crash does, when we die.
func attributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
}
