//go:build !linux

package rush

import (
	"os"
	"syscall"
	"time"
)

// apart can ask for nothing here.
func apart() *syscall.SysProcAttr { return nil }

// peak is not known here.
func peak(*os.ProcessState) int64 { return 0 }

// listener finds nobody here.
func listener(string, int) int { return 0 }

// hardware is not known here.
func hardware() (processor, kernel string, memory int64) { return "", "", 0 }

// spent is not known here.
func spent(int) (time.Duration, int64) { return 0, 0 }
