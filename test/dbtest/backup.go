package dbtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"ansim/test/port"
)

// Archive makes a server keep its whole log in a folder, from now on, so that a backup can be brought to any later moment. The
// server is restarted.
func (s *Server) Archive(t testing.TB) {
	t.Helper()
	folder := filepath.Join(s.dir, "archive")
	if out, err := s.command("mkdir", folder).CombinedOutput(); err != nil {
		t.Fatalf("make the archive: %v: %s", err, out)
	}
	s.configure(t, "archive_mode = on", "archive_command = 'cp %p "+folder+"/%f'", "archive_timeout = 0")
	s.Stop()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// configure adds settings that count from the next start.
func (s *Server) configure(t testing.TB, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("\n" + strings.Join(lines, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(t testing.TB, query string) {
	t.Helper()
	if err := admin(t.Context(), s.URL(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// BaseBackup copies the running server, as pg_basebackup does, into a server of its own that is not started yet.
func (s *Server) BaseBackup(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	copied := &Server{dir: dir, bin: s.bin}
	t.Cleanup(func() { copied.Kill(); _ = os.RemoveAll(dir) })
	cred, err := credential()
	if err != nil {
		t.Fatal(err)
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if copied.port, err = port.Free(); err != nil {
		t.Fatal(err)
	}
	// The log of the backup's own time comes with it; what follows comes from the archive, or from the server.
	out, err := copied.command("pg_basebackup", "-h", "127.0.0.1", "-p", fmt.Sprint(s.port), "-U", "postgres", "-D", copied.data(),
		"-X", "stream", "-c", "fast").CombinedOutput()
	if err != nil {
		t.Fatalf("base backup: %v: %s", err, out)
	}
	return copied
}

// RestorePoint names the present moment, for RecoverTo.
func (s *Server) RestorePoint(t testing.TB, name string) {
	t.Helper()
	s.Exec(t, "SELECT pg_create_restore_point('"+name+"')")
}

// RecoverTo starts a base backup of an archiving server and brings it to a restore point: everything after that is lost.
func (s *Server) RecoverTo(t testing.TB, from *Server, point string) {
	t.Helper()
	from.Exec(t, "SELECT pg_switch_wal()") // what is written last goes to the archive, too
	s.configure(t, "archive_mode = off", "restore_command = 'cp "+filepath.Join(from.dir, "archive")+"/%f %p'",
		"recovery_target_name = '"+point+"'", "recovery_target_action = promote")
	s.signal(t, "recovery.signal")
	s.startUntil(t, "it has recovered", "SELECT 1 / (CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END)")
}

// Follow starts a base backup as a standby of a running server. With sync the server answers a commit only when the standby
// has it.
func (s *Server) Follow(t testing.TB, primary *Server, sync bool) {
	t.Helper()
	s.configure(t, fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=standby'", primary.port))
	s.signal(t, "standby.signal")
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	primary.awaits(t, "the standby follows", "SELECT 1 / COUNT(*) FROM pg_stat_replication WHERE state = 'streaming'")
	if sync {
		primary.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
		primary.Exec(t, "SELECT pg_reload_conf()")
		primary.awaits(t, "the standby is synchronous", "SELECT 1 / COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
	}
}

// Promote makes a standby the primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "SELECT pg_promote()")
	s.awaits(t, "it is promoted", "SELECT 1 / (CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END)")
	s.Exec(t, "ALTER SYSTEM RESET synchronous_standby_names")
	s.Exec(t, "SELECT pg_reload_conf()")
}

// signal puts an empty file into the data folder, which says how to start.
func (s *Server) signal(t testing.TB, name string) {
	t.Helper()
	if out, err := s.command("touch", filepath.Join(s.data(), name)).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (s *Server) startUntil(t testing.TB, what, query string) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.awaits(t, what, query)
}

// awaits waits until a statement succeeds.
func (s *Server) awaits(t testing.TB, what, query string) {
	t.Helper()
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(500*time.Millisecond),
		backoff.WithMaxElapsedTime(time.Minute))
	if err := backoff.Retry(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return admin(ctx, s.URL(), query)
	}, policy); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
