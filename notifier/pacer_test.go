package notifier

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ansim/test/dbtest"
)

var (
	took      = Outcome{Class: Accepted, SID: "SM1"}
	lost      = Outcome{Class: Unknown, Detail: "timeout"}
	refused   = Outcome{Class: Rejected, Disposition: Configuration, Code: 20003}
	throttled = Outcome{Class: NotSent, Throttled: true}
)

// paced is a pacer whose clock the test moves.
func paced(p Policy) (*pacer, *dbtest.Clock) {
	c := dbtest.NewClock(noon)
	return newPacer(p.withDefaults(), c.Now), c
}

// take acquires n slots at once; it fails the test when there are fewer.
func take(t *testing.T, p *pacer, c *dbtest.Clock, n int) []*slot {
	t.Helper()
	got, round := p.acquire(t.Context(), n)
	if got != n {
		t.Fatalf("acquired %d slots, want %d", got, n)
	}
	out := make([]*slot, n)
	for i := range out {
		out[i] = &slot{round: round, began: c.Now()}
	}
	c.Add(time.Millisecond)
	return out
}

// none says that nothing can be acquired now.
func none(t *testing.T, p *pacer) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	free, round := p.acquire(ctx, 1)
	p.release(free, round)
	return free == 0
}

func TestA429HalvesOnceForWhatWasUnderWayTogether(t *testing.T) {
	t.Parallel()
	p, c := paced(Policy{Slots: 64})
	for _, s := range take(t, p, c, 64) {
		p.done(s, throttled)
	}
	if state, slots := p.status(); state != paceThrottled || slots != 32 {
		t.Errorf("%s, %d slots; want throttled, 32", state, slots)
	}
	if !none(t, p) {
		t.Error("it does not rest")
	}
	c.Add(time.Minute)
	for _, s := range take(t, p, c, 32) {
		p.done(s, throttled)
	}
	if _, slots := p.status(); slots != 16 {
		t.Errorf("after the second round: %d slots, want 16", slots)
	}
}

func TestRetryAfterIsHonouredAndBounded(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{7 * time.Second: 7 * time.Second, time.Hour: longestRest} {
		p, c := paced(Policy{})
		s := take(t, p, c, 1)[0]
		p.done(s, Outcome{Class: NotSent, Throttled: true, RetryAfter: asked})
		if got := p.resting(); got != want {
			t.Errorf("asked for %s: it rests %s, want %s", asked, got, want)
		}
	}
}

func TestConcurrencyRecovers(t *testing.T) {
	t.Parallel()
	p, c := paced(Policy{Slots: 64})
	for range 10 {
		c.Add(time.Minute)
		p.done(take(t, p, c, 1)[0], throttled)
	}
	if _, slots := p.status(); slots != 1 {
		t.Fatalf("after ten rounds of 429: %d slots, want 1", slots)
	}
	c.Add(time.Minute)
	rounds := 0
	for ; rounds < 200; rounds++ {
		_, slots := p.status()
		if slots == 64 {
			break
		}
		for _, s := range take(t, p, c, slots) {
			p.done(s, took)
		}
	}
	if state, slots := p.status(); state != paceOK || slots != 64 {
		t.Errorf("after %d rounds: %s, %d slots", rounds, state, slots)
	}
}

func TestSilenceLeavesOneAtATimeWithGrowingPauses(t *testing.T) {
	t.Parallel()
	p, c := paced(Policy{Slots: 64})
	for _, s := range take(t, p, c, 64) {
		p.done(s, lost)
	}
	state, slots := p.status()
	if state != paceAway || slots != 1 {
		t.Fatalf("%s, %d slots; want away, 1", state, slots)
	}
	if first := p.resting(); first > firstProbe*3/2 {
		t.Errorf("what was under way together made the first pause %s", first)
	}
	var pauses []time.Duration
	for range 12 {
		pauses = append(pauses, p.resting())
		c.Add(p.resting() + time.Millisecond)
		p.done(take(t, p, c, 1)[0], lost)
	}
	if last := pauses[len(pauses)-1]; last < longestProbe/2 || last > longestProbe*3/2 {
		t.Errorf("pauses %v do not grow to about %s", pauses, longestProbe)
	}
	c.Add(p.resting() + time.Millisecond)
	p.done(take(t, p, c, 1)[0], took)
	if state, slots := p.status(); state != paceOK || slots < 2 || p.resting() > 0 {
		t.Errorf("it answers again: %s, %d slots, resting %s", state, slots, p.resting())
	}
}

// TestWhatHangsKeepsNobodyFromTrying: the provider lets many hang, and then refuses connections. When it takes texts again, those that
// still hang until their deadline hold up nothing.
func TestWhatHangsKeepsNobodyFromTrying(t *testing.T) {
	t.Parallel()
	p, c := paced(Policy{Slots: 64})
	all := take(t, p, c, 64)
	hanging, away := all[:50], all[50:]
	for _, s := range away {
		p.done(s, Outcome{Class: NotSent, Detail: "dial"})
	}
	if state, _ := p.status(); state != paceAway {
		t.Fatalf("it is %s", state)
	}
	c.Add(p.resting() + time.Millisecond)
	if none(t, p) {
		t.Fatal("nothing can be tried")
	}
	probe := take(t, p, c, 1)[0]
	if !none(t, p) {
		t.Error("two are tried at once")
	}
	p.done(probe, took)
	for range 10 {
		_, slots := p.status()
		for _, s := range take(t, p, c, slots) {
			p.done(s, took)
		}
	}
	for _, s := range hanging {
		p.done(s, lost)
	}
	if state, slots := p.status(); state != paceOK || slots < 32 {
		t.Errorf("%s, %d slots", state, slots)
	}
	if p.held != 0 || p.old != 0 || p.beside != 0 {
		t.Errorf("at the end %d, %d and %d are out", p.held, p.old, p.beside)
	}
}

func TestAnAccountThatIsRefusedIsProbed(t *testing.T) {
	t.Parallel()
	p, c := paced(Policy{Slots: 64})
	for _, s := range take(t, p, c, 64) {
		p.done(s, refused)
	}
	if state, slots := p.status(); state != paceRefused || slots != 1 || p.resting() < 15*time.Second {
		t.Errorf("%s, %d slots, resting %s", state, slots, p.resting())
	}
	c.Add(time.Minute)
	p.done(take(t, p, c, 1)[0], took)
	if state, _ := p.status(); state != paceOK {
		t.Errorf("it works again, and is %s", state)
	}
}

// TestAFewThatHangDoNotStopTheOthers: 1 in 100 hangs; the slots stay free. When all hang, few more go out.
func TestAFewThatHangDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	p, c := paced(Policy{Slots: 16})
	hanging := 0
	for i := range 20_000 {
		s := take(t, p, c, 1)[0]
		if i%100 == 0 {
			p.stepAside(s)
			if !s.beside {
				t.Fatalf("the %dth that hangs keeps its slot", hanging+1)
			}
			hanging++
			continue
		}
		p.done(s, took)
	}
	all, _ := paced(Policy{Slots: 16})
	out := 0
	for ; !none(t, all) && out < 1000; out++ {
		_, round := all.acquire(t.Context(), 1)
		all.stepAside(&slot{round: round, began: c.Now()})
	}
	if want := 16 + firstTrust; out != want {
		t.Errorf("all hang, and %d are out; want %d", out, want)
	}
}

// TestThePacerNeverMiscounts: whatever happens, in whatever order, slots are neither lost nor made.
func TestThePacerNeverMiscounts(t *testing.T) {
	t.Parallel()
	outcomes := []Outcome{took, lost, refused, throttled, {Class: NotSent, Detail: "dial"}, {Class: NotSent, Detail: lateDetail},
		{Class: Rejected, Disposition: Permanent}}
	rapid.Check(t, func(rt *rapid.T) {
		p, c := paced(Policy{Slots: 8, MaxBeside: 4})
		var out []*slot
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				if !none(t, p) {
					n, round := p.acquire(t.Context(), rapid.IntRange(1, 10).Draw(rt, "n"))
					for range n {
						out = append(out, &slot{round: round, began: c.Now()})
					}
				}
			},
			"done": func(rt *rapid.T) {
				if len(out) > 0 {
					s := out[0]
					out = out[1:]
					p.done(s, rapid.SampledFrom(outcomes).Draw(rt, "outcome"))
					p.stepAside(s) // its timer may come late
				}
			},
			"aside": func(*rapid.T) {
				if len(out) > 0 {
					p.stepAside(out[len(out)-1])
				}
			},
			"wait": func(*rapid.T) { c.Add(time.Second) },
			"": func(rt *rapid.T) {
				if p.held < 0 || p.beside < 0 || p.old < 0 || p.held+p.old+p.beside != len(out) || p.beside > 4 || p.old > 8+4 || p.limit < 1 || p.limit > 8 {
					rt.Fatalf("%d held, %d of rounds before, %d beside, limit %.1f; %d are out", p.held, p.old, p.beside, p.limit, len(out))
				}
			},
		})
		for _, s := range out {
			p.done(s, took)
		}
		c.Add(time.Hour)
		if none(t, p) {
			rt.Fatal("everything has ended, and nothing can begin")
		}
	})
}
