package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// meter notes what the machine did during a measurement, from Linux' /proc; elsewhere it knows nothing and says so.
type meter struct {
	names  map[int]string // of the stage's processes
	load   string
	before map[string]time.Duration
	began  time.Time
}

func (st *stage) startMeter() meter {
	load := "not known"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Fields(string(b))[0]
	}
	return meter{names: st.names, load: load, before: cpuTimes(st.names), began: time.Now()}
}

// note is one line: how long it took, what ran, how much CPU each took, and how busy the machine was before.
func (m meter) note(what string) string {
	took := time.Since(m.began)
	after := cpuTimes(m.names)
	var names []string
	for name := range after {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(after[b] - m.before[b] - after[a] + m.before[a]) })
	var used []string
	for _, name := range names {
		used = append(used, fmt.Sprintf("%s %.1f s", name, (after[name]-m.before[name]).Seconds()))
	}
	return fmt.Sprintf("%s: %.1f s; CPU: %s; load average before: %s", what, took.Seconds(), strings.Join(used, ", "), m.load)
}

// tick is the unit of the kernel's times for programs, 1/100 s on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuTimes is the CPU time of this process and all that come from it, by what they are: named, or as the kernel calls them.
func cpuTimes(named map[int]string) map[string]time.Duration {
	type proc struct {
		parent int
		name   string
		cpu    time.Duration
	}
	procs := map[int]proc{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if err != nil || open < 0 || end < 0 {
			continue // it is over
		}
		f := strings.Fields(string(b[end+1:])) // f[0] is the third field, the state
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:open])))
		p := proc{name: string(b[open+1 : end])}
		p.parent, _ = strconv.Atoi(f[1])
		times := f[11:13] // its own
		if pid != os.Getpid() {
			times = f[11:15] // and those of its children that ended, as a server's connections do
		}
		for _, t := range times {
			n, _ := strconv.ParseInt(t, 10, 64)
			p.cpu += time.Duration(n) * tick
		}
		procs[pid] = p
	}
	sum := map[string]time.Duration{}
	for pid, p := range procs {
		ours := pid
		for ours > 1 && ours != os.Getpid() {
			ours = procs[ours].parent
		}
		if ours != os.Getpid() {
			continue
		}
		name := p.name
		switch {
		case pid == os.Getpid():
			name = "this process"
		case named[pid] != "":
			name = named[pid]
		case name == "java":
			name = "kafka"
		}
		sum[name] += p.cpu
	}
	return sum
}

// resident is the memory of a process in MiB, 0 when it is not known.
func resident(pid int) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1])
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}
