package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"ansim/cmd/rush"
)

// plainEvery is the time between two lines where there is no terminal to draw bars on.
const plainEvery = 2 * time.Second

// progress shows how far a rush is: as bars on a terminal, else as lines.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil: lines
	each []bar         // none before the gate opens
	last time.Time
	then rush.Progress // as it was for the last line
}

// bar shows one of the steps that a text goes through.
type bar struct {
	step
	*mpb.Bar
}

type step struct {
	name string
	at   func(rush.Progress) (done, of int64)
}

func steps() []step {
	return []step{
		{"answered", func(x rush.Progress) (int64, int64) { return x.Booked + x.Refused, int64(x.People) }},
		{"published", func(x rush.Progress) (int64, int64) { return x.Published, x.Events }},
		{"texted", func(x rush.Progress) (int64, int64) { return x.Texted, x.Texts }},
		{"delivered", func(x rush.Progress) (int64, int64) { return x.Arrived, x.Texts }},
	}
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(48))
	return p
}

// begin adds the bars, whose rates count from the gate on.
func (p *progress) begin(gate time.Time) {
	for _, s := range steps() {
		b := p.bars.AddBar(0, mpb.PrependDecorators(decor.Name(s.name, decor.WCSyncSpaceR), decor.CountersNoUnit("%d of %d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.NewAverageSpeed(0, "%.0f/s", gate, decor.WCSyncSpace), decor.Name("  "),
				decor.Any(func(s decor.Statistics) string { return toGo(s.Current, s.Total, time.Since(gate)) })))
		p.each = append(p.each, bar{s, b})
	}
}

// toGo is how long the rest takes at the pace until now, which is not known as long as nothing is done.
func toGo(done, of int64, since time.Duration) string {
	if done == 0 {
		return "--:--"
	}
	s := int64(since.Seconds() / float64(done) * float64(of-done))
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// watch is told how far the rush is.
func (p *progress) watch(x rush.Progress) {
	now := time.Now()
	if p.bars != nil {
		if len(p.each) == 0 && x.At >= 0 {
			p.begin(now.Add(-x.At))
		}
		for _, b := range p.each {
			done, of := b.at(x)
			b.SetCurrent(done)
			b.SetTotal(max(of, done), x.Over && done >= of) // more may come until it is over
		}
		return
	}
	if now.Sub(p.last) < plainEvery && !x.Over {
		return
	}
	speed := ""
	if d := now.Sub(p.last).Seconds(); !p.last.IsZero() {
		speed = fmt.Sprintf("; booked %.0f/s, texted %.0f/s", float64(x.Booked-p.then.Booked)/d, float64(x.Texted-p.then.Texted)/d)
	}
	p.last, p.then = now, x
	fmt.Fprintf(p.out, "%6.1f s  clicked %d, booked %d, refused %d; published %d, texted %d, delivered %d%s\n", x.At.Seconds(), x.Clicked, x.Booked,
		x.Refused, x.Published, x.Texted, x.Arrived, speed)
}

// say shows one line.
func (p *progress) say(line string) {
	if p.bars == nil {
		fmt.Fprintln(p.out, line)
		return
	}
	_, _ = fmt.Fprintln(p.bars, line) // above the bars
}

func (p *progress) close() {
	if p.bars == nil {
		return
	}
	for _, b := range p.each {
		b.Abort(false)
	}
	p.bars.Wait()
}
