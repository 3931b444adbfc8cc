package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// text is one line of the phone network's log: a text that it took.
type text struct {
	SID   string    `json:"sid"`
	To    string    `json:"to"`
	Body  string    `json:"body"`
	Token string    `json:"token"`
	At    time.Time `json:"at"`
}

// codePattern is a reservation's code in a text: Crockford's base 32, with its dash.
var codePattern = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b`)

// code is the one of the reservation that a text is about.
func (x text) code() string { return codePattern.FindString(x.Body) }

// cancels says whether a text tells of a cancellation.
func (x text) cancels() bool {
	return strings.Contains(x.Body, "예약취소") || strings.Contains(x.Body, "Cancelled")
}

// texts reads the network's log, which is written before each answer.
func (in *installation) texts(t testing.TB) []text {
	t.Helper()
	f, err := os.Open(in.log)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []text
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var x text
		if json.Unmarshal(lines.Bytes(), &x) == nil { // the last line may be under way
			out = append(out, x)
		}
	}
	return out
}

// report is what `ansim check --json` prints, as far as tests look at it.
type report struct {
	Invariants []struct {
		ID         string `json:"id"`
		Checked    int    `json:"checked"`
		Violations int    `json:"violations"`
		Open       int    `json:"open"`
	} `json:"invariants"`
	Figures struct {
		Booked, Accepted, Delivered, Lost, Duplicates, Oversold int
	} `json:"figures"`
}

// check runs `ansim check --json` with the network's log.
func (in *installation) check(args ...string) (report, result) {
	in.t.Helper()
	r := run(in.t, in.env, append([]string{"check", "--json", "--log", in.log}, args...)...)
	var rep report
	if err := json.Unmarshal([]byte(r.lastLine()), &rep); err != nil {
		in.t.Fatalf("check: exit %d, and the last line is no JSON: %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	return rep, r
}

// settled waits until nothing is under way any more: `ansim check --settled` is clean, within limit.
func (in *installation) settled(limit time.Duration) report {
	in.t.Helper()
	var rep report
	await(in.t, limit, "check --settled is clean", func() error {
		found, r := in.check("--settled")
		if rep = found; r.code != 0 {
			return fmt.Errorf("exit %d:\n%s", r.code, r.stdout)
		}
		return nil
	})
	return rep
}

// everybodyKnows waits until each member of the crowds has the texts they are owed, lets everything settle, and then holds
// the three accounts against each other: what people were told, what the network took, what the database says.
func (in *installation) everybodyKnows(limit time.Duration, crowds ...*crowd) report {
	in.t.Helper()
	var people []*person
	owed := 0
	for _, c := range crowds {
		people = append(people, c.people...)
		for _, p := range c.people {
			if owed++; p.gone {
				owed-- // the cancellation is owed; whether the confirmation went out before is a matter of timing
			}
		}
	}
	await(in.t, limit, "the texts go out", func() error {
		if n := len(in.texts(in.t)); n < owed {
			return fmt.Errorf("%d of %d or more", n, owed)
		}
		return nil
	})
	rep := in.settled(limit)
	in.judgeTexts(people)
	in.judgeAnswers(people)
	if f := rep.Figures; f.Booked != len(people) || f.Lost != 0 || f.Duplicates != 0 || f.Oversold != 0 {
		in.t.Errorf("%d people booked, and the database says %+v", len(people), f)
	}
	return rep
}

// allDelivered waits until the phones have every confirmation that the network took. After a kill of the api role it may
// never be known of some: their receipts came while nobody listened.
func (in *installation) allDelivered() {
	in.t.Helper()
	await(in.t, 30*time.Second, "all texts are delivered", func() error {
		rep, _ := in.check()
		if rep.Figures.Delivered != rep.Figures.Accepted {
			return fmt.Errorf("%w: %+v", errNotYet, rep.Figures)
		}
		return nil
	})
}

// judgeTexts wants exactly one confirmation for each who booked, exactly one cancellation, after it, for each who cancelled,
// to their own number, and no text about anything else.
func (in *installation) judgeTexts(people []*person) {
	in.t.Helper()
	byCode := map[string]*person{}
	for _, p := range people {
		if q := byCode[p.code]; q != nil {
			in.t.Errorf("%s and %s have the same code", p.identity, q.identity)
		}
		byCode[p.code] = p
	}
	type what struct {
		code    string
		cancels bool
	}
	seen, same := map[what]int{}, map[[2]string]int{}
	for _, x := range in.texts(in.t) {
		p := byCode[x.code()]
		if p == nil {
			in.t.Errorf("text %s is about a reservation that nobody was told of", x.SID)
			continue
		}
		if want := "+82" + strings.ReplaceAll(p.phone, "-", "")[1:]; x.To != want {
			in.t.Errorf("text %s for %s went to another number", x.SID, p.identity)
		}
		if same[[2]string{x.To, x.Body}]++; same[[2]string{x.To, x.Body}] == 2 {
			in.t.Errorf("text %s: the same words went to the same number before", x.SID)
		}
		if !x.cancels() && seen[what{x.code(), true}] > 0 {
			in.t.Errorf("text %s confirms what was told to be cancelled", x.SID)
		}
		seen[what{x.code(), x.cancels()}]++
	}
	for _, p := range people {
		confirmed, cancelled := seen[what{p.code, false}], seen[what{p.code, true}]
		switch {
		case !p.gone && (confirmed != 1 || cancelled != 0):
			in.t.Errorf("%s (%s) booked and got %d confirmations and %d cancellations", p.identity, p.id, confirmed, cancelled)
		case p.gone && (confirmed > 1 || cancelled != 1):
			in.t.Errorf("%s (%s) cancelled and got %d confirmations and %d cancellations", p.identity, p.id, confirmed, cancelled)
		}
	}
}

// judgeAnswers reads every reservation over the API. While the database is slow, who asks may be told to come again, or see the
// text pending; they, and nobody else, ask again.
func (in *installation) judgeAnswers(people []*person) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), 2*time.Minute)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(requestors)
	for _, p := range people {
		g.Go(func() error {
			again := time.NewTicker(100 * time.Millisecond)
			defer again.Stop()
			for {
				wrong := in.judgeAnswer(ctx, p)
				if wrong != nil && (errors.Is(wrong, errComeAgain) || errors.Is(wrong, errPending)) {
					select {
					case <-again.C:
						continue
					case <-ctx.Done():
					}
				}
				if wrong != nil {
					in.t.Error(wrong)
				}
				return nil
			}
		})
	}
	_ = g.Wait()
}

var errPending = errors.New("the text is pending")

func (in *installation) judgeAnswer(ctx context.Context, p *person) error {
	r, err := in.read(ctx, p.id)
	want := map[bool]string{false: "confirmed", true: "cancelled"}[p.gone]
	switch {
	case err != nil:
		return fmt.Errorf("%s was told of reservation %s: %w", p.identity, p.id, err)
	case r.Code != p.code || r.Status != want || r.Slot.ID != p.slot:
		return fmt.Errorf("%s was told of %s in %s, %s; it is now %+v", p.identity, p.code, p.slot, want, r)
	case r.Confirmation.State == "pending":
		return fmt.Errorf("%s (%s): %w", p.identity, p.id, errPending)
	case r.Confirmation.State != "delivered" && r.Confirmation.State != "sent":
		return fmt.Errorf("%s (%s): the text is %s", p.identity, p.id, r.Confirmation.State)
	}
	return nil
}
