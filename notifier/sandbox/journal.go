package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// journal appends lines to a file. Lines that come while an fsync is under way share the next one, so that many
// requests at once pay for few. Without a file (nil) a line counts as durable when it is written to memory.
type journal struct {
	file   *os.File
	sync   bool
	commit func([]*message) // called once a group is durable, in order

	mu     sync.Mutex
	open   *group // takes lines
	spare  []byte // memory of a group that is over
	err    error  // why it takes no more
	wake   chan struct{}
	done   chan struct{}
	closed bool
	size   int64 // bytes known to be whole
}

// group is what one write and one fsync carry.
type group struct {
	lines    []byte
	messages []*message
	done     chan struct{}
	err      error
}

var errClosed = errors.New("sandbox: closed")

func newJournal(file *os.File, size int64, fsync bool, commit func([]*message)) *journal {
	j := &journal{file: file, sync: fsync, commit: commit, size: size, open: newGroup(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	go j.run()
	return j
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// add puts a line, and the message it stands for, into the next group and returns it; line appends it while the order is held.
func (j *journal) add(m *message, line func(dst []byte) []byte) (*group, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, errClosed
	}
	if j.err != nil {
		return nil, j.err
	}
	j.open.lines = line(j.open.lines)
	if m != nil {
		j.open.messages = append(j.open.messages, m)
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return j.open, nil
}

func (j *journal) run() {
	defer close(j.done)
	for range j.wake {
		j.flush()
	}
	j.flush()
}

func (j *journal) flush() {
	j.mu.Lock()
	g := j.open
	if len(g.lines) == 0 {
		j.mu.Unlock()
		return
	}
	j.open = newGroup()
	j.open.lines, j.spare = j.spare, nil
	err := j.err
	j.mu.Unlock()

	if err == nil {
		err = j.write(g.lines)
	}
	if err != nil {
		j.mu.Lock()
		j.err = err
		j.mu.Unlock()
		g.err = err
	} else if j.commit != nil {
		j.commit(g.messages)
	}
	close(g.done)
	if cap(g.lines) <= spareLimit {
		j.mu.Lock()
		j.spare = g.lines[:0]
		j.mu.Unlock()
	}
}

// spareLimit bounds the memory that a journal keeps for its next lines.
const spareLimit = 1 << 20

// write makes the lines durable or, when it cannot, takes back what reached the file: a text that was answered with
// an error must not turn up after a restart.
func (j *journal) write(lines []byte) error {
	if j.file == nil {
		return nil
	}
	_, err := j.file.Write(lines)
	if err == nil && j.sync {
		err = j.file.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the log: %w", err), j.file.Truncate(j.size))
	}
	j.size += int64(len(lines))
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	close(j.wake)
	j.mu.Unlock()
	<-j.done
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// readLines gives each whole line to fn, and cuts off a last line that a crash left unfinished.
// A line that is whole but unreadable is an error: the log must not lose texts in silence.
func readLines(f *os.File, log *slog.Logger, fn func([]byte) error) (size int64, err error) {
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				log.Warn("sandbox: the last line of the log was torn and is cut off", "file", f.Name(), "bytes", len(line), "at", size)
				if err := f.Truncate(size); err != nil {
					return 0, fmt.Errorf("cut off a torn line: %w", err)
				}
			}
			_, err := f.Seek(size, io.SeekStart)
			return size, err
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		if err := fn(line); err != nil {
			return 0, fmt.Errorf("%s is damaged at byte %d: %w", f.Name(), size, err)
		}
		size += int64(len(line))
	}
}
