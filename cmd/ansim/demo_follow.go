package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ansim/notifier"
	"ansim/schema/audit"
)

// lookAgain is how often the demo asks for news.
const lookAgain = 100 * time.Millisecond

// follow prints each text as the phone network takes it.
func (d *demo) follow(ctx context.Context) {
	seen := 0
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		seen = d.news(seen)
		select {
		case <-ctx.Done():
			d.news(seen)
			return
		case <-tick.C:
		}
	}
}

// news prints the texts behind the first seen ones of the network's log, and returns how many there are.
func (d *demo) news(seen int) int {
	log, err := d.phones.log(context.Background())
	if err != nil {
		return seen
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		if n++; n <= seen {
			continue
		}
		var m struct {
			To   string    `json:"to"`
			Body string    `json:"body"`
			At   time.Time `json:"at"`
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil || !d.tell(m.To, m.Body, m.At) {
			return n - 1 // a text whose booking's answer is still on its way to us: next time
		}
	}
	return max(n, seen)
}

// tell prints one text with the time since its resident pressed the button.
func (d *demo) tell(to, body string, at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for code, clicked := range d.clicked {
		if strings.Contains(body, code) {
			d.say("%6.2f s  %s  %s", max(0, at.Sub(clicked).Seconds()), to, strings.ReplaceAll(body, "\n", " ⏎ "))
			return true
		}
	}
	return at.Before(time.Now().Add(-5 * time.Second)) // of an earlier run in this folder
}

// settle waits until every text of this run is on its phone, or ctx ends.
func (d *demo) settle(ctx context.Context, booked int) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		w, err := notifier.Waiting(ctx, d.app.DB())
		if err == nil && w.Oldest.IsZero() {
			report, err := d.judge()
			if err == nil {
				if f := d.since(report); f.Booked >= int64(booked) && f.Delivered >= f.Booked {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// result is what --json prints: figures of this run, of residents' confirmations.
type result struct {
	Booked     int64 `json:"booked"`
	Accepted   int64 `json:"accepted"`
	Delivered  int64 `json:"delivered"`
	Lost       int64 `json:"lost"`
	Duplicates int64 `json:"duplicates"`
	Oversold   int64 `json:"oversold"`
}

// since is what came about since the demo started; its folder may hold earlier runs.
func (d *demo) since(report audit.Report) result {
	f, b := report.Figures, d.before
	return result{f.Booked - b.Booked, f.Accepted - b.Accepted, f.Delivered - b.Delivered, f.Lost - b.Lost,
		f.Duplicates - b.Duplicates, f.Oversold - b.Oversold}
}

// conclude prints the result of --once.
func (d *demo) conclude(report audit.Report) error {
	r := d.since(report)
	d.figures(report)
	if d.cmd.JSON {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		d.say("%s", b)
	}
	n := int64(d.cmd.People)
	if report.Failed(true) || r.Booked != n || r.Accepted != n || r.Delivered != n || r.Duplicates != 0 {
		fmt.Fprintln(d.env.stderr, "ansim: not every text was accepted and delivered once; see the report above")
		return errSilent
	}
	return nil
}

// leadOn says what there is to look at.
func (d *demo) leadOn(report audit.Report) {
	d.figures(report)
	slot := d.slots[0]
	d.say(`
Look around (Ctrl-C ends it):
  start page   %[1]s/
  am I booked? %[1]s/r
  console      %[1]s/console
  the phones   %[2]s/
  API          %[1]s/openapi.json
  its docs     %[1]s/docs

Book someone yourself, and watch the phones:
  curl -s %[1]s/v1/reservations -H 'Authorization: Bearer %[3]s' \
    -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first' \
    -d '{"slot_id":"%[4]s","language":"ko","resident":{"identity":"me","name":"홍길동","birth_date":"1967-05-05","phone":"010-1234-5678"}}'`,
		d.app.URL(), d.phones.url, d.key, slot)
	d.sayStates()
}

func (d *demo) figures(report audit.Report) {
	f := d.since(report)
	d.say("\nbooked %d · accepted %d · delivered %d · lost %d · duplicates %d · oversold %d", f.Booked, f.Accepted, f.Delivered,
		f.Lost, f.Duplicates, f.Oversold)
	if report.Failed(true) {
		_ = report.WriteText(d.env.stdout)
	}
}
