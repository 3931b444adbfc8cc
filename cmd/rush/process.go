package rush

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second // until a process says that it is up
	stopLimit  = 20 * time.Second // from SIGTERM, within which it ends by itself
)

// process is one of the night's, a command of the same program. Its log is a file.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	done chan struct{} // closed once it has ended
	end  *os.ProcessState
}

// launch starts the program with args and, of ansim's settings, env alone.
func launch(binary, dir, name string, env []string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stderr, p.cmd.SysProcAttr = log, apart()
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANSIM_") && !strings.HasPrefix(v, "TWILIO_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p.out = bufio.NewReader(out)
	started := make(chan error)
	go func() {
		// Where the kernel ends a child together with its parent, it looks at the thread that started it: that has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.end, _ = p.cmd.Process.Wait() // not cmd.Wait, which takes its output away from who reads it
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// says reads its output up to the line that begins with mark, and returns the rest of that line.
func (p *process) says(ctx context.Context, mark string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	type said struct {
		rest string
		err  error
	}
	heard := make(chan said, 1)
	go func() {
		for {
			line, err := p.out.ReadString('\n')
			if rest, ok := strings.CutPrefix(line, mark); ok || err != nil {
				heard <- said{strings.TrimSpace(rest), err}
				return
			}
		}
	}()
	select {
	case s := <-heard:
		if s.err != nil {
			return "", fmt.Errorf("%s ended before it was up; its log: %s", p.name, p.lastWords())
		}
		return s.rest, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s is not up: %w", p.name, ctx.Err())
	}
}

// lastWords is the end of its log.
func (p *process) lastWords() string {
	log, ok := p.cmd.Stderr.(*os.File)
	if !ok {
		return ""
	}
	<-p.done
	b, _ := os.ReadFile(log.Name())
	return strings.TrimSpace(string(b[max(0, len(b)-600):]))
}

// kill ends it with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks it to end, and insists.
func (p *process) stop() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		_ = p.cmd.Process.Kill()
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		p.kill()
	}
}

// usage is what a process that has ended cost.
type usage struct {
	Name   string        `json:"name"`
	CPU    time.Duration `json:"cpu_ns"`
	Memory int64         `json:"memory_bytes,omitempty"` // the most that it held; 0 where the system does not say
}

func (p *process) usage() usage {
	<-p.done
	u := usage{Name: p.name}
	if p.end != nil {
		u.CPU, u.Memory = p.end.UserTime()+p.end.SystemTime(), peak(p.end)
	}
	return u
}
