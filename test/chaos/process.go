package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 40 * time.Second // until a process says that it is up
	stopLimit  = 15 * time.Second // that README promises for SIGTERM
)

var errEnded = errors.New("the process ended")

// process is the binary at work.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	out  *lines
}

// launch runs the binary with nothing of ansim's in its environment but env. What it writes goes to the file log as well.
func launch(binary, name, log string, env []string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(binary, args...), done: make(chan struct{}), out: &lines{file: file}}
	p.cmd.Env = append(foreign(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = dieWithUs()
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread ends that started it, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer file.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	return p, <-started
}

// foreign is this process's environment without settings of ansim.
func foreign() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANSIM_") && !strings.HasPrefix(v, "TWILIO_") {
			env = append(env, v)
		}
	}
	return env
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// killed says whether it died of SIGKILL; it must have ended.
func (p *process) killed() bool {
	s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

// wait says whether it ended within d.
func (p *process) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends it with SIGKILL, also when it is stopped.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// says waits for a line that has mark in it.
func (p *process) says(ctx context.Context, mark string, limit time.Duration) (string, error) {
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		line, more := p.out.find(mark)
		if line != "" {
			return line, nil
		}
		select {
		case <-more:
		case <-p.done:
			if line, _ = p.out.find(mark); line != "" {
				return line, nil
			}
			return "", fmt.Errorf("%s: %w (%s) before it said %q", p.name, errEnded, p.cmd.ProcessState, mark)
		case <-t.C:
			return "", fmt.Errorf("%s did not say %q within %s", p.name, mark, limit)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// lines keep the beginning of what a process writes, in which it says that it is up, and its alarms.
type lines struct {
	mu     sync.Mutex
	file   *os.File
	buf    bytes.Buffer
	alarms []string
	more   chan struct{}
}

const kept = 64 << 10

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() < kept {
		l.buf.Write(b)
	}
	if bytes.Contains(b, []byte("panic:")) || bytes.Contains(b, []byte("panicked")) {
		l.alarms = append(l.alarms, string(b[:min(len(b), 2000)]))
	}
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.file.Write(b)
}

// find returns the first whole line with mark in it; more closes when there is something new to look at.
func (l *lines) find(mark string) (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := l.buf.String()
	whole = whole[:strings.LastIndexByte(whole, '\n')+1]
	for line := range strings.Lines(whole) {
		if strings.Contains(line, mark) {
			return strings.TrimSuffix(line, "\n"), nil
		}
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return "", l.more
}

// panics are what it said of panics.
func (l *lines) panics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alarms
}
