package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"ansim/schema/sqldb"
	kafkatest "ansim/test/kafka"
)

// TestFrozenInsideATransaction freezes a process at the worst moment: between two statements of a transaction that holds
// locks on slots or messages. Others must not wait for it for as long as it stands still.
func TestFrozenInsideATransaction(t *testing.T) {
	t.Parallel()
	in := onServers(t, kafkatest.Start(t))
	frozen := in.serve(all)
	in.prepare()
	caught := in.crowdOf(91, people(3000), 0)
	wait := caught.start(2 * time.Minute)
	in.freezeInTransaction(frozen)
	if n := caught.booked.Load(); n == int64(len(caught.people)) {
		t.Log("it was frozen after the bookings, in the middle of its texts")
	}
	in.serve(all) // the front leads here now
	others := in.crowdOf(92, 200, 0)
	others.start(time.Minute)()
	wait() // whose request was with the frozen one asks again, after a time-out
	in.everybodyKnows(3*time.Minute, caught, others)
	frozen.signal(syscall.SIGCONT)
	in.ready(frozen)
	after := in.crowdOf(93, 50, 0)
	after.start(time.Minute)()
	in.everybodyKnows(time.Minute, caught, others, after)
}

// freezeInTransaction stops and continues a process until it is caught in a transaction that has locked something.
func (in *installation) freezeInTransaction(p *process) {
	in.t.Helper()
	db, err := sqldb.Open(in.t.Context(), in.setting("ANSIM_DATABASE_URL"), sqldb.Options{})
	if err != nil {
		in.t.Fatal(err)
	}
	defer db.Close()
	await(in.t, time.Minute, "the process is frozen inside a transaction", func() error {
		p.signal(syscall.SIGSTOP)
		// What the server was still busy with when the process stopped is over soon; then only idle ones are left.
		for range 20 {
			var active, idle int
			if err := db.Peek(in.t.Context(), &active, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()
				AND pid <> pg_backend_pid() AND state = 'active'`); err != nil {
				return err
			}
			if active > 0 {
				continue
			}
			if err := db.Peek(in.t.Context(), &idle, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()
				AND state = 'idle in transaction' AND backend_xid IS NOT NULL`); err != nil {
				return err
			}
			if idle > 0 {
				return nil
			}
			break
		}
		p.signal(syscall.SIGCONT)
		return errNotYet
	})
}

// setting is the value of one of the installation's variables.
func (in *installation) setting(name string) string {
	for _, v := range in.env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
