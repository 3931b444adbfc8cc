package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// What a rule may concern.
const (
	OnCreate = "create" // requests for a text; the default
	OnList   = "list"   // reading the list of texts
	OnFetch  = "fetch"  // reading one text
)

// Answer is what the client gets to see of its request.
type Answer string

// The answers. What happened to the text is decided apart from them, by Rule.Happen. What a spoiled answer spoils is the
// truth: the text that was taken, the page of the list; for a text that was not taken, Twilio's internal error.
const (
	AnswerOK        Answer = "ok"           // the truth
	AnswerHang      Answer = "hang"         // nothing, until the client goes away
	AnswerDrop      Answer = "drop"         // the connection is reset instead
	Answer500       Answer = "500"          // Twilio's internal error
	Answer503       Answer = "503-html"     // a load balancer's page
	AnswerTruncated Answer = "truncated"    // the first half of the truth, then the connection ends
	Answer429       Answer = "429"          // too many requests, with Retry-After when the rule has one
	AnswerRefuse    Answer = "refuse"       // the connection is reset before the request's body is read
	Answer401       Answer = "401"          // wrong credentials
	AnswerSlow      Answer = "slow"         // the truth, one byte at a time; Delay is the pause between two, default 1 s
	AnswerHuge      Answer = "huge"         // the truth behind 10 MB of white space, which is still JSON
	AnswerJunk      Answer = "junk-headers" // the truth under a hundred senseless headers
	AnswerGarbage   Answer = "garbage"      // bytes that are no HTTP
	AnswerWrongType Answer = "wrong-type"   // the truth, called text/html
	AnswerNotJSON   Answer = "not-json"     // 200 and a page of something in between, called JSON
)

// answerNames are the answers as an error lists them.
const answerNames = "ok, hang, drop, 500, 503-html, truncated, 429, refuse, 401, slow, huge, junk-headers, garbage, wrong-type, not-json or 400:CODE"

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
	if err := json.Unmarshal(b, &seconds); err != nil || math.Abs(seconds) > math.MaxInt64/float64(time.Second) {
		return fmt.Errorf("a duration is a text like \"1.5s\" or a number of seconds, not %.40s", b)
	}
	*d = Duration(seconds * float64(time.Second))
	return nil
}

// Match says which requests a rule concerns; an empty one, each. Conditions are joined by and.
type Match struct {
	To           string  `json:"to,omitempty"`            // the number, or its end; of a list, the number that it is narrowed to
	BodyContains string  `json:"body_contains,omitempty"` // a part of the text; not with lists
	Every        int     `json:"every,omitempty"`         // of those, each n-th
	Probability  float64 `json:"probability,omitempty"`   // of those, this share, 0 to 1; 0 means all
}

// Rule is one fault: which requests, whether the text is taken, what is answered, and how it goes on.
// The first rule that matches and has not been used up decides about a request.
type Rule struct {
	On         string   `json:"on,omitempty"` // create, list or fetch; default create
	Match      Match    `json:"match,omitzero"`
	Happen     string   `json:"happen,omitempty"`      // "yes" or "no"; default yes, and no for 429, refuse, 401 and codes; only on create
	Answer     Answer   `json:"answer,omitempty"`      // default ok
	Delay      Duration `json:"delay,omitempty"`       // between what happens and the answer; with slow, between two bytes of it
	RetryAfter int      `json:"retry_after,omitempty"` // seconds, with 429 and 503-html
	Count      int      `json:"count,omitempty"`       // how many requests; 0 means without end
	For        Duration `json:"for,omitempty"`         // how long from when the rule was set; 0 means without end

	// How a text that the rule let happen goes on; only on create.
	Final      string   `json:"final,omitempty"`       // delivered, undelivered:CODE, failed:CODE, or sent (never comes to an end)
	FinalAfter Duration `json:"final_after,omitempty"` // from the taking to the end; default as Options.DeliveredAfter
	Callbacks  string   `json:"callbacks,omitempty"`   // default normal
	LateBy     Duration `json:"late_by,omitempty"`     // with callbacks late; default 10 s
	ListLag    Duration `json:"list_lag,omitempty"`    // how long lists do not show the text; default as Options.ListLag
	FetchLag   Duration `json:"fetch_lag,omitempty"`   // how long the text is not found by its SID
}

// Fate is what a rule laid down about how a text goes on; see Rule.
type Fate struct {
	Final      string   `json:"final,omitempty"`
	FinalAfter Duration `json:"final_after,omitempty"`
	Callbacks  string   `json:"callbacks,omitempty"`
	LateBy     Duration `json:"late_by,omitempty"`
	ListLag    Duration `json:"list_lag,omitempty"`
	FetchLag   Duration `json:"fetch_lag,omitempty"`
}

func (r Rule) fate() Fate {
	return Fate{Final: r.Final, FinalAfter: r.FinalAfter, Callbacks: r.Callbacks, LateBy: r.LateBy, ListLag: r.ListLag, FetchLag: r.FetchLag}
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

// place is what the rule concerns.
func (r Rule) place() string {
	if r.On == "" {
		return OnCreate
	}
	return r.On
}

func (r Rule) check() error {
	switch r.Answer {
	case "", AnswerOK, AnswerHang, AnswerDrop, Answer500, Answer503, AnswerTruncated, Answer429, AnswerRefuse, Answer401,
		AnswerSlow, AnswerHuge, AnswerJunk, AnswerGarbage, AnswerWrongType, AnswerNotJSON:
	default:
		if code, ok := strings.CutPrefix(string(r.Answer), answerCode); !ok || !isCode(code) {
			return fmt.Errorf("answer %q: use %s", r.Answer, answerNames)
		}
	}
	if r.Match.Every < 0 || r.Count < 0 || r.RetryAfter < 0 || min(r.Delay, r.For, r.LateBy, r.ListLag, r.FetchLag, r.FinalAfter) < 0 {
		return errors.New("numbers must not be negative")
	}
	if !(r.Match.Probability >= 0 && r.Match.Probability <= 1) {
		return errors.New("probability must be between 0 and 1")
	}
	switch r.place() {
	case OnCreate:
		return r.checkCreate()
	case OnList, OnFetch:
		return r.checkRead()
	}
	return fmt.Errorf("on %q: use create, list or fetch", r.On)
}

func (r Rule) checkCreate() error {
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
	_, _, err := parseFinal(r.Final)
	return err
}

// checkRead refuses what a rule about reading cannot mean.
func (r Rule) checkRead() error {
	switch {
	case r.Happen != "":
		return fmt.Errorf("happen with on %s: reading makes no text; leave it out", r.On)
	case r.fate() != Fate{}:
		return fmt.Errorf("final, callbacks and lags with on %s: they belong to a rule on create", r.On)
	case r.On == OnList && r.Match.BodyContains != "":
		return errors.New("body_contains with on list: a list has no body; match its number with to")
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
