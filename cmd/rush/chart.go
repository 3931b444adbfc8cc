package rush

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// series is one line of a chart: a value for each second, not a number where it is not known.
type series struct {
	Name   string
	Values []float64
}

// chart is a drawing of values over the seconds since the gate, and the table that says the same.
type chart struct {
	Speech          Speech
	ID, Title, What string // What says in a sentence what is to be seen
	Unit            string
	From            int // the first second
	Series          []series
	Marks           []mark
}

// mark is a moment at which something was broken.
type mark struct {
	At     float64
	Number int
}

// The drawing's size in its own units; it is as wide as there is room.
const (
	wide, high                  = 720.0, 270.0
	left, right, top, underside = 76.0, 12.0, 48.0, 30.0
)

func (c chart) seconds() (n int) {
	for _, s := range c.Series {
		n = max(n, len(s.Values))
	}
	return n
}

func (c chart) most() (most float64) {
	for _, s := range c.Series {
		for _, v := range s.Values {
			if v > most { // never true of what is not known
				most = v
			}
		}
	}
	return most
}

// SVG draws it. All that goes into it are numbers and our own words.
func (c chart) SVG() template.HTML {
	n, most := max(2, c.seconds()), 4*nice(c.most()/4) // of which each quarter is a whole number
	for _, m := range c.Marks {                        // also after the last value
		n = max(n, int(math.Ceil(m.At))-c.From+1)
	}
	x := func(i float64) float64 { return left + (wide-left-right)*i/float64(n-1) }
	y := func(v float64) float64 { return high - underside - (high-underside-top)*v/most }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-labelledby="%s-t" aria-describedby="%s-d">`, wide, high, c.ID, c.ID)
	for i := range 5 {
		v := most * float64(i) / 4
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="tick" x="%g" y="%.1f" text-anchor="end">%s</text>`,
			left, wide-right, y(v), y(v), left-6, y(v)+4, thousands(v))
	}
	step := nice(float64(n) / 8)
	for s := math.Ceil(float64(c.From)/step) * step; s <= float64(c.From+n-1); s += step {
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%g" text-anchor="middle">%s</text>`, x(s-float64(c.From)), high-10, c.Speech.say("%s s", thousands(s)))
	}
	row, before := 0, math.Inf(-1)
	for _, m := range c.Marks {
		at := x(m.At - float64(c.From))
		if row++; at-before > 16 || row > 2 { // the numbers of close ones stand above each other
			row = 0
		}
		before = at
		fmt.Fprintf(&b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text class="tick" x="%.1f" y="%g" text-anchor="middle">%d</text>`,
			at, at, top, high-underside, at, top-4-14*float64(row), m.Number)
	}
	for i, s := range c.Series {
		var points []string
		draw := func() {
			if len(points) == 1 { // a dot, which is a line to where it is
				points = append(points, points[0])
			}
			if len(points) > 0 {
				fmt.Fprintf(&b, `<polyline class="line s%d" points="%s"/>`, i, strings.Join(points, " "))
			}
			points = nil
		}
		for j, v := range s.Values {
			if math.IsNaN(v) {
				draw()
				continue
			}
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(float64(j)), y(v)))
		}
		draw()
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// rows is how long the table behind a chart may be.
const rows = 40

// Row is a line of the table: the mean of some seconds, as far as they are known.
type Row struct {
	When   string
	Values []string
}

// Table says what the chart draws.
func (c chart) Table() (out []Row) {
	n := c.seconds()
	each := max(1, (n+rows-1)/rows)
	for from := 0; from < n; from += each {
		to := min(n, from+each)
		r := Row{When: c.Speech.say("%s s", thousands(float64(c.From+from)))}
		if each > 1 {
			r.When = c.Speech.say("%s to %s s", thousands(float64(c.From+from)), thousands(float64(c.From+to-1)))
		}
		for _, s := range c.Series {
			sum, known := 0.0, 0
			for _, v := range s.Values[min(from, len(s.Values)):min(to, len(s.Values))] {
				if !math.IsNaN(v) {
					sum, known = sum+v, known+1
				}
			}
			mean := "–"
			if known > 0 {
				mean = thousands(sum / float64(known))
			}
			r.Values = append(r.Values, mean)
		}
		out = append(out, r)
	}
	return out
}

// SVG draws a spread as one bar for each step, with its words above it: the drawing is as wide as the page, and its words as large as
// the page's on a phone, too.
func (s spread) SVG(w Speech, id string) template.HTML {
	most := 1.0
	for _, st := range s.Steps {
		most = max(most, float64(st.N))
	}
	const row = 42
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="bars" style="height: %dpx" role="img" aria-labelledby="%s-t">`, row*len(s.Steps), id)
	for i, st := range s.Steps {
		at := row * i
		fmt.Fprintf(&b, `<text class="tick" x="0" y="%d">%s</text><text class="tick" x="100%%" y="%[1]d" text-anchor="end">%[3]s</text><rect class="bar" x="0" y="%d" width="%.2f%%" height="14" rx="2"/>`,
			at+15, template.HTMLEscapeString(s.Name(w, i)), template.HTMLEscapeString(thousands(float64(st.N))+s.share(i)), at+21, 100*float64(st.N)/most)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// Name says which times step i holds.
func (s spread) Name(w Speech, i int) string {
	last := s.Steps[max(0, i-1)].AtMost
	switch {
	case s.Steps[i].AtMost == 0:
		return w.say("over %s", w.seconds(last))
	case i == 0:
		return w.say("up to %s", w.seconds(s.Steps[0].AtMost))
	}
	return w.say("%s to %s", w.seconds(last), w.seconds(s.Steps[i].AtMost))
}

func (s spread) share(i int) string {
	return fmt.Sprintf(" (%.1f %%)", 100*float64(s.Steps[i].N)/float64(max(1, s.N)))
}

// nice is the least of 1, 2, 4, 5, 8 and 10, and their tens, that is not less than v.
func nice(v float64) float64 {
	if v <= 1 {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 5, 8, 10} {
		if m*ten >= v {
			return m * ten
		}
	}
	return 10 * ten
}

// thousands writes a number with its thousands apart, and a fraction only where the number is small.
func thousands(v float64) string {
	if v != math.Trunc(v) && v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	var parts []string
	for len(digits) > 3 {
		parts = append(parts, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	parts = append(parts, digits)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// floats are the numbers of n seconds; after the last of them nothing happened any more.
func floats(ints []int, n int) []float64 {
	out := make([]float64, n)
	for i, n := range ints {
		out[i] = float64(n)
	}
	return out
}
