package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"ansim/test/detour"
)

// cell is one place in the table of faults × stages: one fault that one stage meets.
type cell struct {
	fault, stage, how string
	on                place         // "" for both
	lossy             bool          // Kafka may lose events by it, or keep them for longer than the sweeper waits
	long              bool          // takes minutes: not with the single faults
	hold              time.Duration // how long it lasts
	rules             string        // of the phone network
	do                func(context.Context, *stand) (undo func(context.Context) error, err error)
	elsewhere         string // "package: test" that has it, when processes are not needed to show it
}

func (c cell) name() string { return c.fault + "/" + c.stage + "/" + c.how }

// point is a crash point and the role that passes it.
type point struct{ name, stage, role string }

// points are passed all the time while people book and texts go out, so processes can be made to die at each, over and over.
var points = []point{
	{"before.insert.reservation", "api", "api"},
	{"after.insert.reservation", "api", "api"},
	{"before.update.slot", "api", "api"},
	{"after.update.slot", "api", "api"},
	{"before.insert.idempotency_key", "api", "api"},
	{"after.insert.idempotency_key", "api", "api"},
	{"before.update.reservation", "api", "api"},
	{"after.insert.reservation_history", "api", "api"},
	{"before.insert.outbox", "api", "api"},
	{"after.insert.outbox", "api", "api"},
	{"before.commit.outbox", "api", "api"},
	{"after.commit.outbox", "api", "api"},
	{"relay.after_fetch", "relay", "relay"},
	{"relay.after_produce", "relay", "relay"},
	{"before.update.outbox_relay", "relay", "relay"},
	{"before.commit.outbox_relay", "relay", "relay"},
	{"after.commit.outbox_relay", "relay", "relay"},
	{"intake.after_fetch", "intake", "notifier"},
	{"before.insert.message", "intake", "notifier"},
	{"after.insert.message", "intake", "notifier"},
	{"after.insert.message_queue", "intake", "notifier"},
	{"intake.before_offset", "intake", "notifier"},
	{"intake.after_offset", "intake", "notifier"},
	{"before.insert.attempt", "sender", "notifier"},
	{"after.insert.attempt", "sender", "notifier"},
	{"before.commit.message_queue", "sender", "notifier"},
	{"after.commit.message_queue", "sender", "notifier"},
	{"sender.after_attempt", "sender", "notifier"},
	{"sender.after_write", "sender", "notifier"},
	{"sender.after_accepted", "sender", "notifier"},
	{"sender.after_unknown", "sender", "notifier"},
	{"before.update.attempt", "sender", "notifier"},
	{"after.update.attempt", "sender", "notifier"},
	{"after.insert.provider_text", "sender", "notifier"},
	{"before.commit.provider_text", "sender", "notifier"},
	{"after.commit.provider_text", "sender", "notifier"},
	{"sender.after_record", "sender", "notifier"},
	{"reconciler.after_look", "reconciler", "notifier"},
	{"callback.before_write", "callback", "api"},
	{"before.insert.receipt", "callback", "api"},
	{"after.insert.receipt", "callback", "api"},
	{"callback.after_write", "callback", "api"},
}

// sweeping are the points of the sweeper, which has its turn after 30 s only.
var sweeping = []point{
	{"before.update.sweeper", "sweeper", "notifier"},
	{"after.update.sweeper", "sweeper", "notifier"},
	{"after.commit.sweeper", "sweeper", "notifier"},
}

// unknowns make some answers get lost, so that there is something to look up.
const unknowns = `[{"match":{"every":25},"happen":"yes","answer":"drop","callbacks":"none"}]`

// table is the whole table, without the crash points of the storm.
func table() (out []cell) {
	for _, p := range sweeping {
		out = append(out, cell{fault: "kill -9", stage: p.stage, how: p.name, do: crash(p)})
	}
	for _, role := range []string{"api", "relay", "notifier"} {
		out = append(out,
			cell{fault: "kill -9", stage: role, how: "at any time", do: killed(role)},
			cell{fault: "SIGTERM", stage: role, how: "drains", do: stopped(role)},
			cell{fault: "hang, latency", stage: role, how: "process stands still", on: servers, hold: 5 * time.Second, do: paused(role)})
	}
	for stage, pick := range map[string]func(*stand) *detour.Detour{
		"client→api":            func(st *stand) *detour.Detour { return st.client },
		"notifier→provider":     func(st *stand) *detour.Detour { return st.provider },
		"api→database":          func(st *stand) *detour.Detour { return st.databases["api"] },
		"relay→database":        func(st *stand) *detour.Detour { return st.databases["relay"] },
		"notifier→database":     func(st *stand) *detour.Detour { return st.databases["notifier"] },
		"relay→broker→notifier": func(st *stand) *detour.Detour { return st.broker },
	} {
		on := servers
		if stage == "client→api" || stage == "notifier→provider" {
			on = ""
		}
		out = append(out,
			cell{fault: "connection cut", stage: stage, how: "refused", on: on, hold: 2 * time.Second, do: detoured(pick, detour.Refuse, 1)},
			cell{fault: "connection cut", stage: stage, how: "in mid-request", on: on, hold: 3 * time.Second, do: detoured(pick, detour.CutRequest, 9)},
			cell{fault: "connection cut", stage: stage, how: "after acceptance", on: on, hold: 3 * time.Second, do: detoured(pick, detour.CutAnswer, 9)},
			cell{fault: "hang, latency", stage: stage, how: "hangs", on: on, hold: 4 * time.Second, do: detoured(pick, detour.Hang, 1)},
			cell{fault: "hang, latency", stage: stage, how: "slow", on: on, hold: 3 * time.Second, do: detoured(pick, detour.Slow, 1)})
	}
	out = append(out,
		cell{fault: "duplicates, reorder", stage: "broker", how: "events again and out of order", on: servers, do: republish},
		cell{fault: "duplicates, reorder", stage: "callback", how: "twice", hold: 2 * time.Second, rules: `[{"answer":"ok","callbacks":"twice"}]`},
		cell{fault: "duplicates, reorder", stage: "callback", how: "out of order", hold: 2 * time.Second, rules: `[{"answer":"ok","callbacks":"reordered"}]`},
		cell{fault: "duplicates, reorder", stage: "callback", how: "before the 201", hold: 2 * time.Second, rules: `[{"answer":"ok","callbacks":"early"}]`},
		cell{fault: "duplicates, reorder", stage: "callback", how: "late", hold: 2 * time.Second, rules: `[{"answer":"ok","callbacks":"late","late_by":"5s"}]`},
		cell{fault: "duplicates, reorder", stage: "callback", how: "all permutations", elsewhere: "notifier: TestReceiptsInAnyOrder"},
		cell{fault: "broker", stage: "broker", how: "restart", on: servers, lossy: true, do: brokerRestart(false, 0)},
		cell{fault: "broker", stage: "broker", how: "killed", on: servers, lossy: true, do: brokerRestart(true, 0)},
		cell{fault: "broker", stage: "broker", how: "away", on: servers, lossy: true, do: brokerRestart(false, 10*time.Second)},
		cell{fault: "broker", stage: "broker", how: "away for ten minutes", on: servers, lossy: true, long: true, do: brokerRestart(false, 10*time.Minute)},
		cell{fault: "broker", stage: "broker", how: "topic deleted and made again", on: servers, lossy: true, do: recreate},
		cell{fault: "broker", stage: "broker", how: "an empty one instead", on: servers, lossy: true, do: wiped},
		cell{fault: "broker", stage: "notifier", how: "storm of rebalances", on: servers, lossy: true, do: rebalance},
		cell{fault: "broker", stage: "broker", how: "too few replicas", elsewhere: "outbox/kafka: TestAllReplicasAnswer"},
		cell{fault: "broker", stage: "broker", how: "partial errors of a batch", elsewhere: "outbox/kafka: TestAPartOfWhatIsPublishedIsRefused"},
		cell{fault: "broker", stage: "relay", how: "paused past its lease", on: servers, hold: 6 * time.Second, do: paused("relay")},
		cell{fault: "broker", stage: "notifier", how: "paused past its lease", on: servers, long: true, lossy: true, hold: 65 * time.Second, do: paused("notifier")},
		cell{fault: "database", stage: "database", how: "killed", on: servers, do: databaseRestart(true)},
		cell{fault: "database", stage: "database", how: "restart", on: servers, do: databaseRestart(false)},
		cell{fault: "database", stage: "database", how: "all connections ended", on: servers, do: statement(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ansim' AND pid <> pg_backend_pid()`)},
		cell{fault: "database", stage: "database", how: "with every process at once", on: servers, do: everything},
		cell{fault: "database", stage: "api", how: "trigger fails rows of a batch", on: servers, hold: 3 * time.Second, do: trigger("INSERT", "reservation", "23514")},
		cell{fault: "database", stage: "intake", how: "trigger fails rows of a batch", on: servers, hold: 3 * time.Second, do: trigger("INSERT", "message", "XX000")},
		cell{fault: "database", stage: "sender", how: "trigger fails rows of a batch", on: servers, hold: 3 * time.Second, do: trigger("UPDATE", "attempt", "XX000")},
		cell{fault: "database", stage: "api", how: "table locked", on: servers, hold: 5 * time.Second, do: holding(`LOCK TABLE slot IN EXCLUSIVE MODE`)},
		cell{fault: "database", stage: "notifier", how: "table locked", on: servers, hold: 5 * time.Second, do: holding(`LOCK TABLE message IN EXCLUSIVE MODE`)},
		cell{fault: "database", stage: "database", how: "table locked for 40 s", on: servers, lossy: true, long: true, hold: 40 * time.Second, do: holding(`LOCK TABLE message IN EXCLUSIVE MODE`)},
		cell{fault: "database", stage: "relay", how: "xmin pinned", on: servers, hold: 6 * time.Second, do: holding(`SELECT pg_current_xact_id()`)},
		cell{fault: "database", stage: "database", how: "disk full", do: diskFull},
		cell{fault: "database", stage: "api", how: "clock ahead by 10 min", on: servers, hold: 4 * time.Second, do: clock("api", "10m")},
		cell{fault: "database", stage: "api", how: "clock behind by 10 min", on: servers, hold: 4 * time.Second, do: clock("api", "-10m")},
		cell{fault: "database", stage: "notifier", how: "clock ahead by 10 min", on: servers, hold: 4 * time.Second, do: clock("notifier", "10m")},
		cell{fault: "database", stage: "database", how: "clock ahead by 10 min", on: embedded, lossy: true, hold: 4 * time.Second, do: clock("api", "10m")},
		cell{fault: "database", stage: "database", how: "clock behind by 10 min", on: embedded, hold: 4 * time.Second, do: clock("api", "-10m")},
	)
	for how, rules := range map[string]string{
		"refuses":                     `[{"answer":"refuse"}]`,
		"429 for nearly all":          `[{"match":{"probability":0.95},"answer":"429"}]`,
		"accepts and hangs":           `[{"match":{"every":5},"happen":"yes","answer":"hang","callbacks":"none"}]`,
		"accepts, hangs, calls back":  `[{"match":{"every":5},"happen":"yes","answer":"hang"}]`,
		"accepts and drops":           `[{"match":{"every":3},"happen":"yes","answer":"drop","callbacks":"none"}]`,
		"accepts and says 500":        `[{"match":{"every":3},"happen":"yes","answer":"500","callbacks":"none"}]`,
		"truncated 201":               `[{"match":{"every":3},"happen":"yes","answer":"truncated","callbacks":"none"}]`,
		"HTML 503 after acceptance":   `[{"match":{"every":3},"happen":"yes","answer":"503-html","callbacks":"none"}]`,
		"HTML 503 without acceptance": `[{"match":{"every":3},"happen":"no","answer":"503-html"}]`,
		"takes none and says 500":     `[{"match":{"every":6},"happen":"no","answer":"500"}]`,
		"401":                         `[{"answer":"401"}]`,
		"silent":                      `[{"answer":"ok","callbacks":"none"}]`,
		"shows texts late":            `[{"match":{"every":3},"happen":"yes","answer":"drop","callbacks":"none","list_lag":"3s"}]`,
	} {
		out = append(out, cell{fault: "provider", stage: "provider", how: how, hold: 3 * time.Second, rules: rules})
	}
	out = append(out,
		cell{fault: "provider", stage: "provider", how: "30001, 30003, 30008 after acceptance", elsewhere: "notifier: TestWhatDidNotArriveIsTriedAgain"},
		cell{fault: "provider", stage: "provider", how: "refuses until 5,000 wait", elsewhere: "notifier: TestAProviderComesBackToNoStampede"},
		cell{fault: "input", stage: "client→api", how: "hostile bodies", do: hostileBodies},
		cell{fault: "input", stage: "intake", how: "unknown versions and no JSON", on: servers, do: garbage},
		cell{fault: "input", stage: "callback", how: "signature tricks", elsewhere: "notifier/twilio: TestSignatureTricks"},
		cell{fault: "input", stage: "sender", how: "a row on which a job panics", elsewhere: "notifier: TestAPanicEndsNoJob"},
		cell{fault: "input", stage: "sender", how: "a template that panics", elsewhere: "notifier: TestATextThatPanicsHoldsNobodyElseUp"},
		cell{fault: "people", stage: "client→api", how: "double click", do: nothing},
		cell{fault: "people", stage: "console", how: "two agents at once", elsewhere: "test/e2e: TestTwoAgentsAtOnce"},
		cell{fault: "people", stage: "api", how: "resend while unknown", elsewhere: "booking: TestResendRefuses"},
		cell{fault: "people", stage: "console", how: "bulk resend interrupted", elsewhere: "notifier/console/bulk: TestDeath"},
	)
	slices.SortStableFunc(out, func(a, b cell) int { return strings.Compare(a.name(), b.name()) })
	return out
}

// meet lets the installation meet one fault, and takes it away again.
func (c cell) meet(ctx context.Context, st *stand) error {
	if c.lossy {
		st.lossy.Store(true)
	}
	st.note("begins: %s", c.name())
	undo := func(ctx context.Context) error { return st.fault(ctx, "") }
	var err error
	if c.rules != "" {
		err = st.fault(ctx, c.rules)
	} else {
		undo, err = c.do(ctx, st)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	pause(ctx, c.hold)
	if undo != nil {
		if err := undo(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("%s: heal: %w", c.name(), err)
		}
	}
	st.note("over:   %s", c.name())
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// nothing is for what the crowd does all the time.
func nothing(context.Context, *stand) (func(context.Context) error, error) { return nil, nil }

// one is a member with a role, chosen by the schedule's dice, for the caller alone until he lets it go.
func (st *stand) one(role string) *member {
	st.mu.Lock()
	all := st.with(role)
	m := all[st.dice.IntN(len(all))]
	st.mu.Unlock()
	m.busy.Lock()
	return m
}

func detoured(pick func(*stand) *detour.Detour, w detour.Way, every int) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(_ context.Context, st *stand) (func(context.Context) error, error) {
		d := pick(st)
		d.Set(w, every)
		return func(context.Context) error { d.Set(detour.Pass, 1); return nil }, nil
	}
}

func killed(role string) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		m := st.one(role)
		defer m.busy.Unlock()
		m.kill()
		return nil, m.start(ctx)
	}
}

// sweepLimit is how long the sweeper may take to have something to do: it looks at what is 30 s old.
const sweepLimit = 50 * time.Second

func crash(p point) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		m := st.one(p.role)
		defer m.busy.Unlock()
		died, err := m.dieAt(ctx, p.name, 1, sweepLimit)
		if err == nil && !died {
			m.kill()
			err = fmt.Errorf("%s was never passed", p.name)
		}
		return nil, errors.Join(err, m.start(ctx))
	}
}

func stopped(role string) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		m := st.one(role)
		defer m.busy.Unlock()
		if err := m.stop(ctx); err != nil {
			return nil, err
		}
		return nil, m.start(ctx)
	}
}

func paused(role string) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(_ context.Context, st *stand) (func(context.Context) error, error) {
		m := st.one(role)
		m.p.signal(syscall.SIGSTOP)
		return func(context.Context) error {
			defer m.busy.Unlock()
			m.p.signal(syscall.SIGCONT)
			return nil
		}, nil
	}
}

func clock(role, skew string) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		m := st.one(role)
		m.kill()
		if err := m.start(ctx, "ANSIM_CLOCK="+skew); err != nil {
			m.busy.Unlock()
			return nil, err
		}
		return func(ctx context.Context) error {
			defer m.busy.Unlock()
			m.kill()
			return m.start(ctx)
		}, nil
	}
}
