package rush

import (
	"os"
	"syscall"
)

// apart keeps a Ctrl-C at the terminal from the children, who are ended in their turn, and ends them with this process.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// peak is the most memory that the process held, in bytes.
func peak(end *os.ProcessState) int64 {
	if u, ok := end.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}
