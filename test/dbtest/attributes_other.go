//go:build !linux

package dbtest

import "syscall"

// attributes makes a process run as cred. That it ends when we die, only Linux can be asked for.
func attributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Setpgid: true}
}
