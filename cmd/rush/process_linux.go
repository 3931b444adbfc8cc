package rush

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// hardware is what the kernel says of the machine.
func hardware() (processor, kernel string, memory int64) {
	field := func(file, name string) string { // the first of that name
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kib, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	return field("/proc/cpuinfo", "model name"), strings.TrimSpace(string(release)), kib << 10
}

// listener is the process of this machine that is called name and listens on a TCP port, 0 when there is none that may be looked at.
func listener(name string, port int) int {
	const listening, stateField, inodeField = "0A", 3, 9
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(table)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > inodeField && f[stateField] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+f[inodeField]+"]"] = true
			}
		}
	}
	if len(sockets) == 0 {
		return 0
	}
	found := 0
	for pid, p := range processes() {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		holds := slices.ContainsFunc(files, func(f string) bool {
			to, err := os.Readlink(f)
			return err == nil && sockets[to]
		})
		if holds && p.name == name && (found == 0 || pid < found) { // a child may have inherited it
			found = pid
		}
	}
	return found
}

// spent is the processor time of a process and of all that came from it, and the memory that they hold now: what several of them
// share counts once.
func spent(pid int) (cpu time.Duration, memory int64) {
	all := processes()
	for child, p := range all {
		up := child
		for up > 1 && up != pid {
			up = all[up].parent
		}
		if up != pid {
			continue
		}
		cpu += p.cpu
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", child))
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				memory += kib << 10
			}
		}
	}
	return cpu, memory
}

type proc struct {
	name   string
	parent int
	cpu    time.Duration // its own, and that of its children that have ended
}

func processes() map[int]proc {
	const tick = 10 * time.Millisecond // the unit of these times, on every Linux that Go runs on
	all := map[int]proc{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if err != nil || open < 0 || end < 0 {
			continue // it has ended
		}
		f := strings.Fields(string(b[end+1:])) // from the third field on, the state
		if len(f) < 15 {
			continue
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:open])))
		p := proc{name: string(b[open+1 : end])}
		p.parent, _ = strconv.Atoi(f[1])
		for _, t := range f[11:15] {
			n, _ := strconv.ParseInt(t, 10, 64)
			p.cpu += time.Duration(n) * tick
		}
		all[pid] = p
	}
	return all
}
