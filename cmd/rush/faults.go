package rush

import (
	"context"
	"fmt"
	"time"

	"ansim/notifier/sandbox"
)

// fault is one thing that is broken on purpose, when so much of the rush is over.
type fault struct {
	after float64
	what  string
	do    func(context.Context, *stage) error
}

// happened is a fault that was brought about.
type happened struct {
	At    time.Time
	Until time.Time
	What  string
	Err   string
}

// plan is what breaks, in order.
func (o Options) plan() (out []fault) {
	if o.Faults == None {
		return nil
	}
	harsh := o.Faults == Harsh
	add := func(on bool, after float64, what string, do func(context.Context, *stage) error) {
		if on {
			out = append(out, fault{after, what, do})
		}
	}
	network := func(hold time.Duration, rules ...sandbox.Rule) func(context.Context, *stage) error {
		return func(ctx context.Context, st *stage) error {
			if err := st.network.spoil(ctx, rules...); err != nil {
				return err
			}
			pause(ctx, hold)
			return st.network.spoil(context.WithoutCancel(ctx))
		}
	}
	many := sandbox.Rule{Match: sandbox.Match{Probability: 0.8}, Answer: sandbox.Answer429, RetryAfter: 1}
	dropped := sandbox.Rule{Match: sandbox.Match{Every: 50}, Happen: "yes", Answer: sandbox.AnswerDrop}
	silent := sandbox.Rule{Match: sandbox.Match{Every: 20}, Happen: "yes", Answer: sandbox.Answer503, Callbacks: sandbox.CallbacksNone}
	late := sandbox.Rule{Match: sandbox.Match{Every: 10}, Happen: "yes", Answer: sandbox.AnswerHang, ListLag: sandbox.Duration(3 * time.Second)}

	add(true, 0.10, "the provider says that there are too many requests, to four of five, for 2 s", network(2*time.Second, many))
	add(harsh && !o.embedded(), 0.15, "a process of the API is killed, and started again after 1 s", killed("api"))
	add(true, 0.25, "the provider takes texts and breaks the connection before it answers, one in fifty, for 4 s", network(4*time.Second, dropped))
	add(harsh && !o.embedded(), 0.35, "a relay is killed, and started again after 1 s", killed("relay"))
	who := "a notifier"
	if o.embedded() {
		who = "the service, which is one process here,"
	}
	add(true, 0.45, who+" is killed, and started again after 1 s", killed("notifier"))
	add(!o.embedded(), 0.55, "one notifier more is started", func(ctx context.Context, st *stage) error {
		_, err := st.add(ctx, "notifier")
		return err
	})
	add(true, 0.65, "the provider takes texts, answers with an error page and calls nobody back, one in twenty, for 3 s", network(3*time.Second, silent))
	add(harsh, 0.75, "the provider takes texts and never answers, one in ten, and shows them in its list 3 s late, for 4 s", network(4*time.Second, late))
	add(harsh, 0.85, "the provider refuses every connection for 4 s", network(4*time.Second, sandbox.Rule{Answer: sandbox.AnswerRefuse}))
	return out
}

func killed(role string) func(context.Context, *stage) error {
	return func(ctx context.Context, st *stage) error {
		all := st.all(role)
		if len(all) == 0 {
			return fmt.Errorf("there is no process with the role %s", role)
		}
		// Not the first of several: the provider calls back there.
		return st.restart(ctx, all[len(all)-1], time.Second)
	}
}

// breakThings brings the faults about, at their times, until ctx ends.
func (st *stage) breakThings(ctx context.Context) (done []happened) {
	for _, f := range st.plan() {
		pause(ctx, time.Until(st.gate.Add(time.Duration(f.after*float64(st.Over)))))
		if ctx.Err() != nil {
			return done
		}
		h := happened{At: time.Now(), What: f.what}
		st.say("%s", f.what)
		if err := f.do(ctx, st); err != nil {
			h.Err = err.Error()
			st.say("that could not be done: %v", err)
		}
		h.Until = time.Now()
		done = append(done, h)
	}
	return done
}

func (st *stage) say(format string, args ...any) {
	if st.Say != nil {
		st.Say(fmt.Sprintf(format, args...))
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
