package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"ansim/schema"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	kafkatest "ansim/test/kafka"
)

// stage is what one part runs on. Everything on it is started by it, and ends with it in reverse order.
type stage struct {
	part, profile string
	dir           string
	names         map[int]string // of child processes
	cleanups      []func()
}

func (st *stage) onEnd(f func()) { st.cleanups = append(st.cleanups, f) }

func (st *stage) end() {
	for _, f := range slices.Backward(st.cleanups) {
		f()
	}
	st.cleanups = nil
}

// folder is one for everything of this part.
func (st *stage) folder() (string, error) {
	if st.dir != "" {
		return st.dir, nil
	}
	dir, err := os.MkdirTemp("", "ansim-load-")
	if err != nil {
		return "", err
	}
	st.dir = dir
	st.onEnd(func() { _ = os.RemoveAll(dir) })
	return dir, nil
}

// postgres starts a server and opens its database with ansim's tables.
func (st *stage) postgres(ctx context.Context, writers int) (*sqldb.DB, string, error) {
	server, end, err := dbtest.Launch()
	if err != nil {
		return nil, "", err
	}
	st.onEnd(end)
	db, err := sqldb.Open(ctx, server.URL(), sqldb.Options{Writers: writers})
	if err != nil {
		return nil, "", err
	}
	st.onEnd(func() { _ = db.Close() })
	_, err = schema.Migrate(ctx, db, false)
	return db, server.URL(), err
}

// kafka starts a broker and returns its address.
func (st *stage) kafka() (string, error) {
	dir, err := st.folder()
	if err != nil {
		return "", err
	}
	b, err := kafkatest.Launch(dir)
	if err != nil {
		return "", err
	}
	st.onEnd(b.Kill)
	return b.Addr(), nil
}

// children are what this program does as a process of its own. Each reads its orders from stdin as one JSON value, and ends
// when stdin does, so that none outlives the program that started it.
var children = map[string]func() error{"serve": serve, "phones": phones, "crowd": crowd, "look": look,
	"plain": plain, "bookings": bookings}

// process is a child.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
	log string
}

// endTime is how long a child may take to end, a serving one to finish what it took.
const endTime = 20 * time.Second

// child starts this program as what, with its orders.
func (st *stage) child(what string, orders any) (*process, error) {
	dir, err := st.folder()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, what), log: filepath.Join(dir, what+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(bufio.NewReader(out))
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	st.names[p.cmd.Process.Pid] = what
	st.onEnd(p.end)
	return p, json.NewEncoder(p.in).Encode(orders)
}

// hear waits for what the child says next.
func (p *process) hear(said any) error {
	if err := p.out.Decode(said); err != nil {
		log, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s said nothing more: %w\n%s", p.cmd.Args[1], err, log[max(0, len(log)-2000):])
	}
	return nil
}

// end closes the child's stdin and waits for its end.
func (p *process) end() {
	_ = p.in.Close()
	late := time.AfterFunc(endTime, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		fmt.Fprintf(os.Stderr, "load: %s did not end well: %v\n", p.cmd.Args[1], err)
	}
	if log, err := os.ReadFile(p.log); err == nil && len(log) > 0 {
		fmt.Fprintf(os.Stderr, "load: %s logged:\n%s\n", p.cmd.Args[1], log[max(0, len(log)-2000):])
	}
}

// orders reads a child's orders. The channel closes when the child is to end.
func orders(into any) (<-chan struct{}, error) {
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(into); err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			if _, err := in.Token(); err != nil {
				return
			}
		}
	}()
	return over, nil
}

// say tells the program that started us.
func say(what any) error { return json.NewEncoder(os.Stdout).Encode(what) }
