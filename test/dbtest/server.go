package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5"

	"ansim/schema/sqldb"
	"ansim/test/port"
)

// folderPrefix begins the names of the folders of servers; the process id follows.
const folderPrefix = "ansim-test-postgres-"

// Server is a PostgreSQL server of a test's own, which it may stop, kill and start again.
type Server struct {
	dir, bin string
	port     int
	cmd      *exec.Cmd
	exited   chan struct{}
}

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s, err := newServer("")
	if err != nil {
		Missing(t, err.Error())
	}
	t.Cleanup(func() { s.Kill(); _ = os.RemoveAll(s.dir) })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// URL is the superuser's, of the database postgres.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Open opens a fresh migrated database of the server, where no other test's transactions are.
func (s *Server) Open(t testing.TB, opts sqldb.Options) *sqldb.DB {
	t.Helper()
	name := fmt.Sprintf("ansim_%d", counter.Add(1))
	if err := admin(t.Context(), s.URL(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make a test database: %v", err)
	}
	return open(t, withName(s.URL(), name), opts, true)
}

// startShared starts the server of this test process. It ends with the process; its folder is removed by the next one.
func startShared() (string, error) {
	removeLeftovers()
	s, err := newServer("")
	if err != nil {
		return "", err
	}
	return s.URL(), s.Start()
}

// newServer makes a server in a folder below parent, "" for the one of temporary files.
func newServer(parent string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, folderPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	cred, err := credential()
	if err != nil {
		return nil, err
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, err
		}
	}
	out, err := s.command("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--pgdata="+s.data()).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if s.port, err = port.Free(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Port is where it listens, on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Start starts the server and waits until it answers. fsync stays on: what tests measure and kill is the real thing.
func (s *Server) Start() error {
	cmd := s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+s.dir, "-c", "max_connections=300", "-c", "shared_buffers=256MB",
		"-c", "max_wal_size=2GB", "-c", "log_min_messages=fatal")
	started := make(chan error)
	s.exited = make(chan struct{})
	go func() {
		// The signal at the parent's death follows the thread that started the process; so this thread stays.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.cmd = cmd
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(200*time.Millisecond),
		backoff.WithMaxElapsedTime(time.Minute))
	return backoff.Retry(func() error {
		select {
		case <-s.exited:
			return backoff.Permanent(errors.New("postgres ended at once"))
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}, policy)
}

// Stop ends the server in order (fast shutdown).
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server as a crash does (immediate shutdown): the next start recovers from the log.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	<-s.exited
	s.cmd = nil
}

// command is one of PostgreSQL's programs, or of the system's, run as the user postgres when we are root, and ended when we die.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	program := name // of the system
	if at := filepath.Join(s.bin, name); isThere(at) {
		program = at
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cred, _ := credential()
	cmd.SysProcAttr = attributes(cred)
	return cmd
}

func isThere(path string) bool { _, err := os.Stat(path); return err == nil }

// credential is the user that PostgreSQL runs as: it refuses root. nil when we are somebody else already.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errors.New("PostgreSQL does not run as root and there is no user postgres")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// binaries finds the folder of PostgreSQL's programs.
func binaries() (string, error) {
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed here (its programs initdb and postgres)")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// removeLeftovers removes the folders of processes that are gone.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, d := range dirs {
		pid, err := strconv.Atoi(strings.SplitN(strings.TrimPrefix(filepath.Base(d), folderPrefix), "-", 2)[0])
		if err == nil && pid != os.Getpid() && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(d)
		}
	}
}
