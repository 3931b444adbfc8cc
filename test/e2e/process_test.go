package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startLimit   = time.Minute      // until a process says that it is up; test machines are slow and shared
	commandLimit = 3 * time.Minute  // for a command that ends by itself
	stopLimit    = 15 * time.Second // that the README promises for SIGTERM
	killLimit    = 20 * time.Second // until the kernel has ended a process
	shownOutput  = 12 << 10         // of each process, when a test failed
)

// process is the binary at work.
type process struct {
	t        testing.TB
	name     string
	cmd      *exec.Cmd
	out, err *output
	began    time.Time
	done     chan struct{}
}

// start runs the binary with nothing of ansim's in its environment but env.
func start(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(binary(t), args...), out: &output{}, err: &output{}, began: time.Now(),
		done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	p.cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread ends that started it, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(p.finish)
	return p
}

// cleanEnv is this process's environment without settings of ansim.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANSIM_") && !strings.HasPrefix(v, "TWILIO_") {
			env = append(env, v)
		}
	}
	return env
}

// finish ends the process whatever it does, and shows what it said when the test failed.
func (p *process) finish() {
	if !p.ended() {
		p.kill()
	}
	if p.t.Failed() {
		fmt.Fprintf(p.t.Output(), "===== %s (pid %d, %s) =====\nstdout:\n%s\nstderr:\n%s\n", p.name, p.cmd.Process.Pid,
			p.cmd.ProcessState, tail(p.out.String()), tail(p.err.String()))
	}
	if strings.Contains(p.err.String(), "WARNING: DATA RACE") {
		p.t.Errorf("%s: data race:\n%s", p.name, p.err.String())
	}
	if strings.Contains(p.err.String(), "panic:") {
		p.t.Errorf("%s panicked:\n%s", p.name, tail(p.err.String()))
	}
}

func tail(s string) string { return s[max(0, len(s)-shownOutput):] }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends a signal; a process that is gone already fails the test.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill ends it with SIGKILL, also when it is stopped.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	if !p.wait(killLimit) {
		p.t.Errorf("%s (pid %d) survives SIGKILL", p.name, p.cmd.Process.Pid)
	}
}

// stop ends it in order and returns how long that took; it must be within the promised time, with exit 0.
func (p *process) stop() time.Duration {
	p.t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if !p.wait(stopLimit + time.Second) {
		p.t.Errorf("%s did not end within %s of SIGTERM", p.name, stopLimit)
		p.kill()
		return time.Since(began)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with exit %d after SIGTERM, not 0", p.name, code)
	}
	return time.Since(began)
}

func (p *process) wait(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// line waits for a line of o that has mark in it.
func (p *process) line(o *output, mark string) string {
	p.t.Helper()
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	for {
		line, found, more := o.find(mark)
		if found {
			return line
		}
		select {
		case <-more:
		case <-p.done:
			if line, found, _ = o.find(mark); found {
				return line
			}
			p.t.Fatalf("%s ended (%s) before it said %q", p.name, p.cmd.ProcessState, mark)
		case <-timer.C:
			p.t.Fatalf("%s did not say %q within %s", p.name, mark, startLimit)
		}
	}
}

// output is what a process writes. It is safe for use while that goes on.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// find looks for a whole line with mark in it; more is closed when there is something new to look at.
func (o *output) find(mark string) (line string, found bool, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := o.buf.String()
	whole = whole[:strings.LastIndexByte(whole, '\n')+1]
	for line := range strings.Lines(whole) {
		if strings.Contains(line, mark) {
			return strings.TrimSuffix(line, "\n"), true, nil
		}
	}
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return "", false, o.more
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// lastLine is the last line of stdout.
func (r result) lastLine() string {
	lines := strings.Split(strings.TrimRight(r.stdout, "\n"), "\n")
	return lines[len(lines)-1]
}

// run runs a command to its end.
func run(t testing.TB, env []string, args ...string) result {
	t.Helper()
	p := start(t, "ansim "+strings.Join(args, " "), env, args...)
	if !p.wait(commandLimit) {
		t.Fatalf("%s did not end within %s", p.name, commandLimit)
	}
	return result{p.cmd.ProcessState.ExitCode(), p.out.String(), p.err.String()}
}

// await asks until is says yes. What it says otherwise is shown when the time is over.
func await(t testing.TB, limit time.Duration, what string, is func() error) {
	t.Helper()
	began := time.Now()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := is()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s: the test ended before: %v", what, err)
		case <-deadline.C:
			t.Fatalf("%s: not within %s: %v", what, time.Since(began).Round(time.Second), err)
		}
	}
}
