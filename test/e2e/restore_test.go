package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"ansim/test/dbtest"
	"ansim/test/detour"
	kafkatest "ansim/test/kafka"
)

// move makes the installation's processes that start from now on use another database.
func (in *installation) move(databaseURL string) {
	in.env = with(in.env, "ANSIM_DATABASE_URL="+databaseURL)
}

// isFrozen waits until a process says that sending is frozen, and why.
func (in *installation) isFrozen(p *process, why string) {
	in.t.Helper()
	await(in.t, time.Minute, "sending is frozen", func() error {
		if r := in.ready(p); r.Status != "degraded" || r.Checks["sending"] != "frozen: "+why {
			return fmt.Errorf("%w: %+v", errNotYet, r)
		}
		return nil
	})
}

// resumed is what `ansim resume --json` reports.
type resumed struct {
	Waiting, Looked, Found int
	Resumed                bool
}

func (in *installation) resume(args ...string) (r resumed) {
	in.t.Helper()
	res := run(in.t, in.env, append([]string{"resume", "--json", "--by", "e2e"}, args...)...)
	if err := json.Unmarshal([]byte(res.lastLine()), &r); err != nil || res.code != 0 {
		in.t.Fatalf("resume: exit %d, %v\n%s%s", res.code, err, res.stdout, res.stderr)
	}
	return r
}

// copies counts the texts about each person's reservation.
func (in *installation) copies() map[string]int {
	in.t.Helper()
	n := map[string]int{}
	for _, x := range in.texts(in.t) {
		n[x.code()]++
	}
	return n
}

// oneEach wants exactly one text for each of the crowds, in the end.
func (in *installation) oneEach(crowds ...*crowd) {
	in.t.Helper()
	await(in.t, 2*time.Minute, "everybody has their text", func() error {
		n := in.copies()
		for _, c := range crowds {
			for _, p := range c.people {
				if n[p.code] == 0 {
					return fmt.Errorf("%w: %s", errNotYet, p.identity)
				}
			}
		}
		return nil
	})
	in.nobodyTwice(crowds...)
}

func (in *installation) nobodyTwice(crowds ...*crowd) {
	in.t.Helper()
	n := in.copies()
	for _, c := range crowds {
		for _, p := range c.people {
			if n[p.code] > 1 {
				in.t.Errorf("%s got %d texts", p.identity, n[p.code])
			}
		}
	}
}

// strangers is how many texts of the log `ansim check` cannot find a reservation for.
func (in *installation) strangers() int {
	in.t.Helper()
	rep, _ := in.check()
	for _, i := range rep.Invariants {
		if i.ID == "I16-log" {
			return i.Violations
		}
	}
	in.t.Fatal("check says nothing of the log")
	return 0
}

// TestRestoredBackup brings a base backup to an earlier moment. Sixty texts that waited at that moment went out after it, and
// forty people booked after it: the restored database knows nothing of either. Sending is frozen, people book, and after a look
// into the provider's list nobody is told twice; those whose bookings are lost are named.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	server.Archive(t)
	broker := kafkatest.Start(t)
	in := install(t, "ANSIM_DATABASE_URL="+server.URL(), "ANSIM_KAFKA_BROKERS="+broker.Addr())
	front, notifier := in.serve("api,relay"), in.serve("notifier")
	in.prepare()
	early := in.crowdOf(301, 100, 0)
	early.start(time.Minute)()
	in.everybodyKnows(time.Minute, early)
	backup := server.BaseBackup(t)

	notifier.stop()
	waiting := in.crowdOf(302, 60, 0)
	waiting.start(time.Minute)()
	server.RestorePoint(t, "here")
	notifier = in.serve("notifier")
	lost := in.crowdOf(303, 40, 0)
	lost.start(time.Minute)()
	in.oneEach(early, waiting, lost)
	front.kill()
	notifier.kill()
	backup.RecoverTo(t, server, "here")
	server.Kill()

	in.move(backup.URL())
	service := in.serve(all)
	sent := len(in.texts(t))
	later := in.crowdOf(304, 20, 0)
	later.start(time.Minute)()
	later.untroubled()
	in.isFrozen(service, "another-history")
	// Kafka has brought the events of the sixty before, and does not bring them again: the sweeper does.
	await(t, 2*time.Minute, "they all wait", func() error {
		if n := in.number(`SELECT COUNT(*) FROM message WHERE state = 'pending'`); n != len(waiting.people)+len(later.people) {
			return fmt.Errorf("%w: %d", errNotYet, n)
		}
		return nil
	})
	if dry := in.resume("--dry-run"); dry.Resumed || dry.Found != len(waiting.people) {
		t.Errorf("dry run: %+v", dry)
	}
	if got := len(in.texts(t)); got != sent {
		t.Errorf("%d texts went out while sending was frozen", got-sent)
	}
	if r := in.resume(); !r.Resumed || r.Found != len(waiting.people) {
		t.Errorf("resume: %+v, want %d found", r, len(waiting.people))
	}
	in.oneEach(early, waiting, later)
	in.nobodyTwice(lost)
	await(t, time.Minute, "those who lost their booking are named", func() error {
		if n := in.strangers(); n != len(lost.people) {
			return fmt.Errorf("%w: %d texts without a reservation, want %d", errNotYet, n, len(lost.people))
		}
		return nil
	})
}

// TestPromotedStandby kills the primary while people book, and promotes its standby; the processes find it at the same address.
// A synchronous one has every booking that was acknowledged. An asynchronous one that was behind has not: sending freezes in
// both cases, and nobody is told twice.
func TestPromotedStandby(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{true, false} {
		t.Run(map[bool]string{true: "synchronous", false: "asynchronous"}[sync], func(t *testing.T) {
			t.Parallel()
			primary := dbtest.NewServer(t)
			way, err := detour.Open(fmt.Sprintf("127.0.0.1:%d", primary.Port()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(way.Close)
			address, err := url.Parse(primary.URL())
			if err != nil {
				t.Fatal(err)
			}
			address.Host = way.Addr()
			broker := kafkatest.Start(t)
			in := install(t, "ANSIM_DATABASE_URL="+address.String(), "ANSIM_KAFKA_BROKERS="+broker.Addr())
			service := in.serve(all)
			in.prepare()
			standby := primary.BaseBackup(t)
			standby.Follow(t, primary, sync)

			kept := in.crowdOf(311, 300, 0)
			lost := in.crowdOf(312, 30, 0)
			if sync {
				kept.pace = 20 * time.Millisecond
				wait := kept.start(2 * time.Minute)
				kept.until(100)
				primary.Kill()
				in.promote(standby, way)
				wait()
				lost.people = nil
			} else {
				kept.start(time.Minute)()
				in.oneEach(kept)
				in.settled(time.Minute)
				standby.Stop() // and is behind from here on
				lost.start(time.Minute)()
				in.oneEach(lost)
				primary.Kill()
				if err := standby.Start(); err != nil {
					t.Fatal(err)
				}
				in.promote(standby, way)
			}
			in.isFrozen(service, "another-history")
			later := in.crowdOf(313, 20, 0)
			later.start(time.Minute)()
			r := in.resume()
			if !r.Resumed {
				t.Errorf("%+v", r)
			}
			in.oneEach(kept, later)
			in.nobodyTwice(lost)
			if sync {
				in.everybodyKnows(2*time.Minute, kept, later)
			} else if n := in.strangers(); n != len(lost.people) {
				t.Errorf("%d texts without a reservation, want %d", n, len(lost.people))
			}
			t.Logf("resume: %+v", r)
		})
	}
}

// promote makes the standby the database at the address that everybody uses.
func (in *installation) promote(standby *dbtest.Server, way *detour.Detour) {
	in.t.Helper()
	way.Set(detour.Refuse, 1)
	standby.Promote(in.t)
	way.Lead(fmt.Sprintf("127.0.0.1:%d", standby.Port()))
	way.Set(detour.Pass, 1)
}
