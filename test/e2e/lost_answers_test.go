package e2e

import (
	"fmt"
	"testing"
	"time"

	kafkatest "ansim/test/kafka"
)

// lostAnswers are what a provider does on a bad day. It takes a text and lets the request hang until our deadline of 30 s,
// resets the connection, answers 500, half a 201, or a load balancer's page; it loses some before it took them; it throttles
// some. Of what was faulty no callback comes, and its list lags three seconds for all. The losses before are few, and over
// before any further attempt begins, so that no text meets more of them than there are further attempts.
const lostAnswers = `[
	{"match":{"every":29},"happen":"yes","answer":"hang","callbacks":"none","list_lag":"3s","count":8},
	{"match":{"every":23},"happen":"yes","answer":"drop","callbacks":"none","list_lag":"3s"},
	{"match":{"every":19},"happen":"yes","answer":"500","callbacks":"none","list_lag":"3s"},
	{"match":{"every":17},"happen":"yes","answer":"truncated","callbacks":"none","list_lag":"3s"},
	{"match":{"every":13},"happen":"yes","answer":"503-html","callbacks":"none","list_lag":"3s"},
	{"match":{"every":11},"happen":"no","answer":"drop","count":6},
	{"match":{"every":11},"happen":"no","answer":"500","count":6},
	{"match":{"every":31},"answer":"429"},
	{"answer":"ok","delay":"200ms","list_lag":"3s"}]`

// TestLostAnswersAndAKilledNotifier: the provider has a bad day, and the notifier is killed in the middle of it. Everybody
// gets one text. What the killed one had under way is found out a minute later, when its lease has ended.
func TestLostAnswersAndAKilledNotifier(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes longer than the lease of a minute")
	}
	for name, open := range map[string]func(testing.TB) *installation{
		"sqlite": embedded,
		"postgres": func(t testing.TB) *installation {
			return onServers(t, kafkatest.Start(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := open(t)
			in.env = append(in.env, "ANSIM_RECONCILE=1s,2s,4s,6s") // the last is beyond the list's lag
			killed := in.serve(all)
			in.prepare()
			in.fault(lostAnswers)
			c := in.crowdOf(101, people(900), 0)
			wait := c.start(2 * time.Minute)
			await(t, time.Minute, "texts go out", func() error {
				if n := len(in.texts(t)); n < len(c.people)/3 {
					return fmt.Errorf("%w: %d", errNotYet, n)
				}
				return nil
			})
			killed.kill()
			taken := len(in.texts(t))
			if n := in.openAttempts(); n == 0 { // those that hang are open for half a minute
				t.Error("the notifier was not in the middle of a request when it was killed")
			}
			in.serve(all)
			wait()
			rep := in.everybodyKnows(4*time.Minute, c)
			t.Logf("%d of %d texts had been taken when the notifier was killed; %+v", taken, len(c.people), rep.Figures)
		})
	}
}
