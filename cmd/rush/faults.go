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
	do    func(context.Context, *stage) (touch, error)
}

// happened is a fault that was brought about.
type happened struct {
	At    time.Time
	Until time.Time
	What  string
	touch
	Err string
}

// touch is what a fault did.
type touch struct {
	Process  string // which one was killed or started; empty when the phone network was spoilt
	Killed   bool
	Requests int // to the phone network, which it answered otherwise than it would have
}

// plan is what breaks, in order.
func (o Options) plan() (out []fault) {
	if o.Faults == None {
		return nil
	}
	harsh := o.Faults == Harsh
	add := func(on bool, after float64, what string, do func(context.Context, *stage) (touch, error)) {
		if on {
			out = append(out, fault{after, what, do})
		}
	}
	// None lasts longer than a tenth of the rush, so that each ends before the next begins. A process is away for less than two seconds.
	network := func(hold time.Duration, rules ...sandbox.Rule) func(context.Context, *stage) (touch, error) {
		return func(ctx context.Context, st *stage) (t touch, err error) {
			before, err := st.network.stats(ctx)
			if err == nil {
				err = st.network.spoil(ctx, rules...)
			}
			if err != nil {
				return t, err
			}
			pause(ctx, min(hold, o.Over/10))
			ctx = context.WithoutCancel(ctx)
			if err := st.network.spoil(ctx); err != nil {
				return t, err
			}
			after, err := st.network.stats(ctx)
			t.Requests = after.Faults - before.Faults
			return t, err
		}
	}
	many := sandbox.Rule{Match: sandbox.Match{Probability: 0.8}, Answer: sandbox.Answer429, RetryAfter: 1}
	dropped := sandbox.Rule{Match: sandbox.Match{Every: 50}, Happen: "yes", Answer: sandbox.AnswerDrop}
	silent := sandbox.Rule{Match: sandbox.Match{Every: 20}, Happen: "yes", Answer: sandbox.Answer503, Callbacks: sandbox.CallbacksNone}
	late := sandbox.Rule{Match: sandbox.Match{Every: 10}, Happen: "yes", Answer: sandbox.AnswerHang, ListLag: sandbox.Duration(3 * time.Second)}

	add(true, 0.10, "the provider says that there are too many requests, to four of five", network(2*time.Second, many))
	add(harsh && !o.embedded(), 0.20, "a process of the API is killed, and started again after 1 s", killed("api"))
	add(true, 0.28, "the provider takes texts and breaks the connection before it answers, one in fifty", network(4*time.Second, dropped))
	add(harsh && !o.embedded(), 0.38, "a relay is killed, and started again after 1 s", killed("relay"))
	who := "a notifier"
	if o.embedded() {
		who = "the service, which is one process here,"
	}
	add(true, 0.46, who+" is killed, and started again after 1 s", killed("notifier"))
	add(!o.embedded(), 0.55, "one notifier more is started", func(ctx context.Context, st *stage) (touch, error) {
		m, err := st.add(ctx, "notifier")
		if err != nil {
			return touch{}, err
		}
		return touch{Process: m.name}, nil
	})
	add(true, 0.65, "the provider takes texts, answers with an error page and calls nobody back, one in twenty", network(3*time.Second, silent))
	add(harsh, 0.75, "the provider takes texts and never answers, one in ten, and shows them in its list 3 s late", network(4*time.Second, late))
	add(harsh, 0.85, "the provider refuses every connection", network(4*time.Second, sandbox.Rule{Answer: sandbox.AnswerRefuse}))
	return out
}

func killed(role string) func(context.Context, *stage) (touch, error) {
	return func(ctx context.Context, st *stage) (touch, error) {
		all := st.all(role)
		if len(all) == 0 {
			return touch{}, fmt.Errorf("there is no process with the role %s", role)
		}
		m := all[len(all)-1] // not the first of several: the provider calls back there
		return touch{Process: m.name, Killed: true}, st.restart(ctx, m, time.Second)
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
		var err error
		if h.touch, err = f.do(ctx, st); err != nil {
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
