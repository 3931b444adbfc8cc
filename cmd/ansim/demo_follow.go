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

// follow prints each text as the phone network takes it, but for the first ones of its log, which are of earlier runs in this folder.
func (d *demo) follow(ctx context.Context, first int) {
	told := map[int]bool{}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		d.news(first, told)
		select {
		case <-ctx.Done():
			d.news(first, told)
			return
		case <-tick.C:
		}
	}
}

// news prints the texts of the network's log behind the first ones that were not told yet. Who is not known may have booked a
// moment ago, with the answer still on its way to us, or in an earlier run.
func (d *demo) news(first int, told map[int]bool) {
	_ = d.eachText(func(n int, line []byte) {
		if n < first || told[n] {
			return
		}
		var m struct {
			To   string    `json:"to"`
			Body string    `json:"body"`
			At   time.Time `json:"at"`
		}
		told[n] = json.Unmarshal(line, &m) == nil && d.tell(m.To, m.Body, m.At)
	})
}

// eachText calls each with every line of the network's log and its number.
func (d *demo) eachText(each func(n int, line []byte)) error {
	log, err := d.phones.log(context.Background())
	if err != nil {
		return err
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		each(n, lines.Bytes())
	}
	return lines.Err()
}

// tell prints one text with the time since its resident pressed the button; false when nobody is known to have booked for it.
func (d *demo) tell(to, body string, at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for code, clicked := range d.clicked {
		if strings.Contains(body, code) {
			d.say("%6.2f s  %s  %s", max(0, at.Sub(clicked).Seconds()), to, strings.ReplaceAll(body, "\n", " ⏎ "))
			return true
		}
	}
	return false
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
