package kafkatest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that, on Linux, dies with this process, however that ends.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

func startProcess(log, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(name, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread ends that started it, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait()
		}
		close(p.done)
	}()
	return p, <-started
}

// end signals the process and says whether it ended in time.
func (p *process) end(sig syscall.Signal, wait time.Duration) bool {
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return true
	case <-time.After(wait):
		return false
	}
}

// tail is the end of what the process wrote.
func (p *process) tail() string {
	out, _ := os.ReadFile(p.log)
	return string(out[max(0, len(out)-4000):])
}
