package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Answer is what the client gets to see of its request.
type Answer string

// The answers. What happened to the text is decided apart from them, by Rule.Happen.
const (
	AnswerOK        Answer = "ok"        // the truth
	AnswerHang      Answer = "hang"      // nothing, until the client goes away
	AnswerDrop      Answer = "drop"      // the connection is reset instead
	Answer500       Answer = "500"       // Twilio's internal error
	Answer503       Answer = "503-html"  // a load balancer's page
	AnswerTruncated Answer = "truncated" // the first half of a 201
	Answer429       Answer = "429"       // too many requests, with Retry-After when the rule has one
	AnswerRefuse    Answer = "refuse"    // the connection is reset before the request's body is read
	Answer401       Answer = "401"       // wrong credentials
)

// answerCode begins the answers that name one of Twilio's error codes: "400:21610".
const answerCode = "400:"

// What a rule may do to the callbacks of a text.
const (
	CallbacksNormal    = "normal"
	CallbacksNone      = "none"      // they never come
	CallbacksEarly     = "early"     // all of them before the request is answered
	CallbacksLate      = "late"      // each later by LateBy
	CallbacksTwice     = "twice"     // each two times
	CallbacksReordered = "reordered" // once it is final, the last first
)

// ErrRule says that a fault rule cannot be understood; its text tells which and what would be right.
var ErrRule = errors.New("sandbox: bad fault rule")

// Duration is a time.Duration that JSON writes as "1.5s" and reads as that or as a number of seconds.
type Duration time.Duration

// MarshalJSON writes the duration as Go does.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads "1.5s", or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		v, err := time.ParseDuration(text)
		*d = Duration(v)
		return err
	}
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		return fmt.Errorf("a duration is a text like \"1.5s\" or a number of seconds, not %s", b)
	}
	*d = Duration(seconds * float64(time.Second))
	return nil
}

// Match says which requests a rule concerns; an empty one, each. Conditions are joined by and.
type Match struct {
	To           string  `json:"to,omitempty"`            // the number, or its end
	BodyContains string  `json:"body_contains,omitempty"` // a part of the text
	Every        int     `json:"every,omitempty"`         // of those, each n-th
	Probability  float64 `json:"probability,omitempty"`   // of those, this share, 0 to 1; 0 means all
}

// Rule is one fault: which requests, whether the text is taken, what is answered, and how it goes on.
// The first rule that matches and has not been used up decides about a request.
type Rule struct {
	Match      Match    `json:"match,omitzero"`
	Happen     string   `json:"happen,omitempty"`      // "yes" or "no"; default yes, and no for 429, refuse, 401 and codes
	Answer     Answer   `json:"answer,omitempty"`      // default ok
	Delay      Duration `json:"delay,omitempty"`       // between what happens and the answer
	RetryAfter int      `json:"retry_after,omitempty"` // seconds, with 429 and 503-html
	Count      int      `json:"count,omitempty"`       // how many requests; 0 means without end
	Callbacks  string   `json:"callbacks,omitempty"`
	LateBy     Duration `json:"late_by,omitempty"`  // with callbacks late; default 10 s
	ListLag    Duration `json:"list_lag,omitempty"` // how long lists do not show the text
	Final      string   `json:"final,omitempty"`    // delivered, undelivered:CODE, failed:CODE, or sent (never comes to an end)
}

// RuleState is a rule and what it did so far.
type RuleState struct {
	Rule
	Seen  int `json:"seen"`  // requests that its match named, before every, probability and count
	Fired int `json:"fired"` // requests that it decided
}

type faults struct {
	seed uint64

	mu    sync.Mutex
	rules []*liveRule
	fired int
}

type liveRule struct {
	RuleState
	dice *rand.Rand
}

// set replaces the rules. Dice are thrown anew from the seed, so that the same rules and requests give the same faults.
func (f *faults) set(rules []Rule) error {
	live := make([]*liveRule, len(rules))
	for i, r := range rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("%w: rule %d: %w", ErrRule, i, err)
		}
		live[i] = &liveRule{RuleState: RuleState{Rule: r}, dice: rand.New(rand.NewPCG(f.seed, uint64(i)))}
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
	f.rules = append(f.rules, &liveRule{RuleState: RuleState{Rule: r}, dice: rand.New(rand.NewPCG(f.seed, uint64(len(f.rules))))})
	return nil
}

func (f *faults) states() []RuleState {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]RuleState, len(f.rules))
	for i, r := range f.rules {
		out[i] = r.RuleState
	}
	return out
}

// blind finds the rule for a request of which nothing was read: one that refuses whoever comes. It asks only the rules
// before the first of another kind, and says from where choose has to go on.
func (f *faults) blind() (rule Rule, ok bool, next int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.rules {
		switch {
		case r.usedUp():
		case r.Answer != AnswerRefuse || r.Match.To != "" || r.Match.BodyContains != "":
			return Rule{}, false, i
		case f.fires(r):
			return r.Rule, true, i
		}
	}
	return Rule{}, false, len(f.rules)
}

// choose finds the rule for a text, beginning with the given one.
func (f *faults) choose(from int, to, body string) (Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules[min(from, len(f.rules)):] {
		if !r.usedUp() && strings.HasSuffix(to, r.Match.To) && strings.Contains(body, r.Match.BodyContains) && f.fires(r) {
			return r.Rule, true
		}
	}
	return Rule{}, false
}

func (r *liveRule) usedUp() bool { return r.Count > 0 && r.Fired >= r.Count }

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

func (r Rule) happens() bool {
	switch r.Happen {
	case "yes":
		return true
	case "no":
		return false
	}
	switch r.Answer {
	case Answer429, AnswerRefuse, Answer401:
		return false
	}
	return !strings.HasPrefix(string(r.Answer), answerCode)
}

func (r Rule) check() error {
	switch r.Answer {
	case "", AnswerOK, AnswerHang, AnswerDrop, Answer500, Answer503, AnswerTruncated, Answer429, AnswerRefuse, Answer401:
	default:
		if code, ok := strings.CutPrefix(string(r.Answer), answerCode); !ok || !isCode(code) {
			return fmt.Errorf("answer %q: use ok, hang, drop, 500, 503-html, truncated, 429, refuse, 401 or 400:CODE", r.Answer)
		}
	}
	if r.Happen != "" && r.Happen != "yes" && r.Happen != "no" {
		return fmt.Errorf("happen %q: use yes or no", r.Happen)
	}
	if r.happens() && r.Answer == AnswerRefuse {
		return errors.New("refuse with happen yes: a request that was not read cannot happen; use drop")
	}
	if !r.happens() && (r.Answer == AnswerOK || r.Answer == "" || r.Answer == AnswerTruncated) {
		return errors.New("happen no needs an answer other than ok and truncated: a 201 names a text that exists")
	}
	switch r.Callbacks {
	case "", CallbacksNormal, CallbacksNone, CallbacksEarly, CallbacksLate, CallbacksTwice, CallbacksReordered:
	default:
		return fmt.Errorf("callbacks %q: use normal, none, early, late, twice or reordered", r.Callbacks)
	}
	if r.Match.Every < 0 || r.Count < 0 || r.Delay < 0 || r.LateBy < 0 || r.ListLag < 0 || r.RetryAfter < 0 {
		return errors.New("numbers must not be negative")
	}
	if !(r.Match.Probability >= 0 && r.Match.Probability <= 1) {
		return errors.New("probability must be between 0 and 1")
	}
	if _, _, err := parseFinal(r.Final); err != nil {
		return err
	}
	return nil
}

func isCode(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 10000 && n <= 99999
}

// parseFinal reads how a text shall end; "" is delivered.
func parseFinal(s string) (Status, int, error) {
	word, digits, has := strings.Cut(s, ":")
	status := Status(word)
	switch {
	case s == "":
		return Delivered, 0, nil
	case (status == Delivered || status == Sent) && !has:
		return status, 0, nil
	case (status == Undelivered || status == Failed) && isCode(digits):
		code, err := strconv.Atoi(digits)
		return status, code, err
	}
	return "", 0, fmt.Errorf("final %q: use delivered, sent, undelivered:CODE or failed:CODE", s)
}
