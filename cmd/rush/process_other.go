//go:build !linux

package rush

import (
	"os"
	"syscall"
)

// apart can ask for nothing here.
func apart() *syscall.SysProcAttr { return nil }

// peak is not known here.
func peak(*os.ProcessState) int64 { return 0 }
