package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	kafkatest "ansim/test/kafka"
)

// TestRelayPausedPastItsLease freezes the relay that leads for longer than its lease, while people book and cancel. The other
// one takes over; the frozen one, back at work in the middle of whatever it did, finds itself fenced.
func TestRelayPausedPastItsLease(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Start(t)
	in := onServers(t, broker)
	service := in.serve("api,notifier")
	in.prepare()
	relays := []*process{in.serve("relay"), in.serve("relay")}
	var leader, other *process
	await(t, time.Minute, "a relay leads", func() error {
		for i, r := range relays {
			if in.leads(r) {
				leader, other = r, relays[1-i]
				return nil
			}
		}
		return errNotYet
	})
	c := in.crowdOf(71, people(2400), 3)
	c.pace = 30 * time.Second / time.Duration(len(c.people))
	wait := c.start(2 * time.Minute)
	c.until(len(c.people) / 6)
	leader.signal(syscall.SIGSTOP)
	await(t, time.Minute, "the other relay leads", func() error {
		if !in.leads(other) {
			return errNotYet
		}
		return nil
	})
	at := c.booked.Load()
	leader.signal(syscall.SIGCONT)
	await(t, time.Minute, "the frozen relay knows that it does not lead", func() error {
		if in.leads(leader) && in.leads(other) {
			return errNotYet
		}
		return nil
	})
	t.Logf("the other relay led when %d of %d were done", at, len(c.people))
	wait()
	c.untroubled()
	in.everybodyKnows(time.Minute, c)
	in.allDelivered()
	in.topicHolds(broker, c)
	// Which one is up to the machine: it is the other one unless that stood still for longer than its lease of three seconds.
	await(t, time.Minute, "one relay leads", func() error {
		if in.leads(leader) == in.leads(other) {
			return errNotYet
		}
		return nil
	})
	if n := in.rescued(service); n != 0 {
		t.Logf("the sweeper made %g messages", n)
	}
}

// TestNotifierPausedPastItsLease freezes a notifier in the middle of its requests for longer than its lease of a minute.
// Another one finds out what became of those texts and sends the rest; the frozen one, back again, sends none of its own.
func TestNotifierPausedPastItsLease(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes longer than the lease of a minute")
	}
	broker := kafkatest.Start(t)
	in := onServers(t, broker)
	in.serve("api,relay")
	in.prepare()
	frozen := in.serve("notifier")
	const unconfirmed = `{"match":{"every":3},"answer":"ok","delay":"1s","callbacks":"none"},`
	// After the first hundred no answer comes for as long as it takes to stop the notifier, so that it is in the middle of
	// requests, and more people come than it may have under way (512). No receipt tells what became of those, either.
	in.fault(`[{"count":100,"answer":"ok"},{"answer":"ok","delay":"20s","callbacks":"none"}]`)
	c := in.crowdOf(81, 100+512+200, 0)
	booked := c.start(time.Minute)
	await(t, time.Minute, "texts go out", func() error {
		if n := len(in.texts(t)); n <= 100 { // the 101st gets no answer, and is under way
			return fmt.Errorf("%w: %d", errNotYet, n)
		}
		return nil
	})
	frozen.signal(syscall.SIGSTOP)
	in.fault(`[` + unconfirmed + `{"answer":"ok","delay":"1s"}]`)
	taken := len(in.texts(t))
	if n := in.openAttempts(); n == 0 {
		t.Fatal("the notifier was not in the middle of a request when it was stopped")
	}
	in.serve("notifier")
	if taken >= len(c.people) {
		t.Fatal("nothing was left to send when the notifier was stopped")
	}
	booked()
	in.everybodyKnows(3*time.Minute, c)
	frozen.signal(syscall.SIGCONT)
	in.ready(frozen)
	more := in.crowdOf(82, 100, 0)
	more.start(time.Minute)()
	in.everybodyKnows(2*time.Minute, c, more)
	t.Logf("%d of %d texts had been taken when the notifier was frozen", taken, len(c.people))
}

// openAttempts counts the requests whose outcome nobody has recorded.
func (in *installation) openAttempts() int {
	return in.number(`SELECT COUNT(*) FROM attempt WHERE state = 'open'`)
}

// number is what a query of the database counts.
func (in *installation) number(query string) (n int) {
	in.t.Helper()
	db := in.open()
	defer db.Close()
	if err := db.Peek(in.t.Context(), &n, query); err != nil {
		in.t.Fatal(err)
	}
	return n
}
