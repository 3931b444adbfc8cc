package sandbox

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// RuleState is a rule and what it did so far.
type RuleState struct {
	Rule
	Seen  int  `json:"seen"`  // requests that its match named, before every, probability and count
	Fired int  `json:"fired"` // requests that it decided
	Over  bool `json:"over"`  // its count or its time is used up
}

type faults struct {
	seed uint64
	now  func() time.Time

	mu    sync.Mutex
	rules []*liveRule
	fired int
}

type liveRule struct {
	RuleState
	dice  *rand.Rand
	until time.Time // zero: without end
}

// live begins a rule as the i-th.
func (f *faults) live(r Rule, i int) *liveRule {
	l := &liveRule{RuleState: RuleState{Rule: r}, dice: rand.New(rand.NewPCG(f.seed, uint64(i)))}
	if r.For > 0 {
		l.until = f.now().Add(time.Duration(r.For))
	}
	return l
}

// set replaces the rules. Dice are thrown anew from the seed, so that the same rules and requests give the same faults.
func (f *faults) set(rules []Rule) error {
	live := make([]*liveRule, len(rules))
	for i, r := range rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("%w: rule %d: %w", ErrRule, i, err)
		}
		live[i] = f.live(r, i)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = live
	return nil
}

// add appends one rule to those that are there.
func (f *faults) add(r Rule) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRule, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, f.live(r, len(f.rules)))
	return nil
}

func (f *faults) states() []RuleState {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	out := make([]RuleState, len(f.rules))
	for i, r := range f.rules {
		out[i] = r.RuleState
		out[i].Over = r.usedUp(now)
	}
	return out
}

// blind finds the rule for a request for a text of which nothing was read: one that refuses whoever comes. It asks only the
// rules before the first of another kind, and says from where choose has to go on.
func (f *faults) blind() (rule Rule, ok bool, next int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rules) == 0 {
		return Rule{}, false, 0
	}
	now := f.now()
	for i, r := range f.rules {
		switch {
		case r.place() != OnCreate || r.usedUp(now):
		case r.Answer != AnswerRefuse || r.Match.To != "" || r.Match.BodyContains != "":
			return Rule{}, false, i
		case f.fires(r):
			return r.Rule, true, i
		}
	}
	return Rule{}, false, len(f.rules)
}

// choose finds the rule for a request of that kind about a number and a text, beginning with the given rule.
func (f *faults) choose(from int, on, to, body string) (Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from >= len(f.rules) {
		return Rule{}, false
	}
	now := f.now()
	for _, r := range f.rules[from:] {
		if r.place() == on && !r.usedUp(now) && strings.HasSuffix(to, r.Match.To) && strings.Contains(body, r.Match.BodyContains) && f.fires(r) {
			return r.Rule, true
		}
	}
	return Rule{}, false
}

func (r *liveRule) usedUp(now time.Time) bool {
	return (r.Count > 0 && r.Fired >= r.Count) || (!r.until.IsZero() && !now.Before(r.until))
}

// fires counts a request that r's match named, and says whether r decides about it. f.mu is held.
func (f *faults) fires(r *liveRule) bool {
	r.Seen++
	if r.Match.Every > 1 && r.Seen%r.Match.Every != 0 {
		return false
	}
	if p := r.Match.Probability; p > 0 && p < 1 && r.dice.Float64() >= p {
		return false
	}
	r.Fired++
	f.fired++
	return true
}
