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
	each []bar
	last time.Time
	then rush.Progress // as it was for the last line
}

// bar is one of the steps that a text goes through.
type bar struct {
	name string
	*mpb.Bar
	at func(rush.Progress) (done, of int64)
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(48))
	for _, b := range []bar{
		{name: "booked", at: func(x rush.Progress) (int64, int64) { return x.Booked + x.Refused, int64(x.People) }},
		{name: "published", at: func(x rush.Progress) (int64, int64) { return x.Published, x.Expected }},
		{name: "texted", at: func(x rush.Progress) (int64, int64) { return x.Texted, x.Expected }},
		{name: "delivered", at: func(x rush.Progress) (int64, int64) { return x.Arrived, x.Expected }},
	} {
		b.Bar = p.bars.AddBar(0, mpb.PrependDecorators(decor.Name(b.name, decor.WCSyncSpaceR), decor.CountersNoUnit("%d of %d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.AverageSpeed(0, "%.0f/s", decor.WCSyncSpace), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_MMSS)))
		p.each = append(p.each, b)
	}
	return p
}

// watch is told how far the rush is.
func (p *progress) watch(x rush.Progress) {
	if p.bars != nil {
		for _, b := range p.each {
			done, of := b.at(x)
			b.SetTotal(max(of, done+1), false) // full only when it is over: more may come
			b.SetCurrent(done)
		}
		return
	}
	now := time.Now()
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
