package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ansim/notifier/sandbox"
)

// demoLooks are when the demo asks what became of a text whose answer was lost, sooner than in earnest (see notifier.Policy), so that
// one whose trace is never found is held within a minute and not after twelve.
var demoLooks = []time.Duration{2 * time.Second, 5 * time.Second, 8 * time.Second, 12 * time.Second}

// stranger is a resident beside the N, whose text comes to something else than a phone; the phone network is told so.
type stranger struct {
	name, phone string
	what        string // becomes of it
	faults      []sandbox.Rule
}

// strangers are one for each way. 010-0003-… are the network's own numbers, which nobody has.
var strangers = []stranger{
	{"한도착", "010-0003-1001", "delivered", nil},
	{"우송중", "010-0003-0000", "on its way: sent, and no receipt comes", nil},
	{"문조회", "010-0003-1002", "unknown: the answer was lost, and so far nobody can say what became of it", []sandbox.Rule{
		{Match: sandbox.Match{To: "00031002"}, Happen: "yes", Answer: sandbox.AnswerDrop, Count: 1, Callbacks: sandbox.CallbacksNone},
		{On: sandbox.OnList, Match: sandbox.Match{To: "00031002"}, Answer: sandbox.Answer503, For: sandbox.Duration(10 * time.Minute)}}},
	{"나거절", "010-0003-1003", "failed, with a reason: they opted out of texts", []sandbox.Rule{
		{Match: sandbox.Match{To: "00031003"}, Answer: "400:21610"}}},
	{"손보류", "010-0003-1004", "held, within a minute: four answers were lost without a trace; sent again by you, it arrives", []sandbox.Rule{
		{Match: sandbox.Match{To: "00031004"}, Happen: "no", Answer: sandbox.AnswerDrop, Count: 4}}},
}

// showStates books for the strangers, so that the console has everything that a text can come to.
func (d *demo) showStates(ctx context.Context) error {
	d.level.Set(slog.LevelError) // what goes wrong from here on is staged
	var faults []sandbox.Rule
	for _, s := range strangers {
		faults = append(faults, s.faults...)
	}
	if err := d.phones.fault(ctx, faults); err != nil {
		return err
	}
	run := make([]byte, 4)
	_, _ = rand.Read(run)
	var g errgroup.Group
	for i, s := range strangers {
		g.Go(func() error {
			return d.book(ctx, person{identity: fmt.Sprintf("demo-%s-state-%d", hex.EncodeToString(run), i), name: s.name, birthDate: "1967-05-05", phone: s.phone, language: "ko"}, i)
		})
	}
	return g.Wait()
}

// sayStates tells whom to look for.
func (d *demo) sayStates() {
	var b strings.Builder
	b.WriteString("\nFive more have booked, whose texts come to something else; find them by name in the console:")
	for _, s := range strangers {
		fmt.Fprintf(&b, "\n  %s  %s", s.name, s.what)
	}
	d.say("%s", b.String())
}

// fault sets what goes wrong in the network.
func (n *network) fault(ctx context.Context, rules []sandbox.Rule) error {
	body, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, n.url+"/sandbox/faults", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the phone network refuses the demonstration's faults with status %d", res.StatusCode)
	}
	return nil
}
