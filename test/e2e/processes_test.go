package e2e

import (
	"fmt"
	"testing"
	"time"

	kafkatest "ansim/test/kafka"
)

// TestThreeProcessesKilled is the purpose of it all, on PostgreSQL and Apache Kafka with a process for each role: three
// thousand people book while one of each process dies of SIGKILL and comes back, and everybody gets one text.
func TestThreeProcessesKilled(t *testing.T) {
	t.Parallel()
	in := onServers(t, kafkatest.Start(t))
	// On an empty database, at the same time: one of them makes the tables.
	api, relay, notifier := in.begin("api"), in.begin("relay"), in.begin("notifier")
	for _, p := range []*process{api, relay, notifier} {
		in.up(p)
	}
	in.prepare()
	in.fault(underWay)
	c := in.crowdOf(21, people(3000), 10)
	n := len(c.people)
	c.pace = 24 * time.Second / time.Duration(n)
	wait := c.start(2 * time.Minute)

	c.until(n / 10) // the api is the first, since people must not have done by then, however long the others take to start
	api.kill()
	api = in.serve("api")
	await(t, time.Minute, "texts go out", func() error {
		if got := len(in.texts(t)); got < n/3 {
			return fmt.Errorf("%d of %d", got, n/3)
		}
		return nil
	})
	notifier.kill()
	notifier = in.serve("notifier")
	c.until(n / 2)
	relay.kill()
	relay = in.serve("relay")

	wait()
	rep := in.everybodyKnows(3*time.Minute, c)
	unknown := 0
	for _, p := range c.people {
		unknown += p.unknown
	}
	if unknown == 0 {
		t.Error("the api was killed, and nobody's request was without an answer: not while people booked")
	}
	t.Logf("%d requests had no answer and were repeated; the sweeper made %g messages; %+v", unknown, in.rescued(notifier), rep.Figures)
	for _, p := range []*process{api, relay, notifier} {
		t.Logf("%s ended %s after SIGTERM", p.name, p.stop())
	}
}
