package rush

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed report.html
var page string

// siteSaid is what the site of that night told those who waited: 93 hours.
const siteSaid = 93 * time.Hour

// WriteHTML writes the report: one page that needs nothing else, whose every word follows from the figures.
func (r *Result) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"n":       func(v any) string { return number(v) },
		"t":       r.Speech().say,
		"lang":    func() Language { return r.Options.Language },
		"seconds": r.Speech().seconds,
		"time":    func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
		"mib":     mib,
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

func mib(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }

func number(v any) string {
	switch v := v.(type) {
	case int:
		return thousands(float64(v))
	case int64:
		return thousands(float64(v))
	case float64:
		return thousands(v)
	}
	return fmt.Sprint(v)
}

// Speech is the language of the report.
func (r *Result) Speech() Speech { return Speech{korean: r.Options.Language == Korean} }

// Headline is the night in one sentence.
func (r *Result) Headline() string {
	say := r.Speech().say
	switch {
	case r.Came == 0 && r.Ended.Before(r.Gate):
		return say("The night was stopped before the gate opened.")
	case r.Came == 0:
		return say("The night was stopped before anybody came.")
	case r.Interrupted:
		return say("The night was stopped before its end. Until then %s people had come, and %s had a place.", number(r.Came), number(r.Booked))
	case r.OK():
		return say("%s people came at once. %s have a place, and a text about it was sent for every one of them.", number(r.Came), number(r.Booked))
	}
	return say("%s people came at once. %s have a place. Not everything went as promised: see below.", number(r.Came), number(r.Booked))
}

// Beside compares the slowest text with what the site of that night said; empty when there is nothing to compare.
func (r *Result) Beside() string {
	w := r.Speech()
	if r.Know.N == 0 {
		return ""
	}
	site := w.say("In July 2021 the site told those who waited that it would take %s hours.", number(siteSaid.Hours()))
	if r.someUntold() {
		return site + " " + w.say("Here, of those who were told, the text of the last was sent after %s.", w.seconds(r.Know.Max))
	}
	return site + " " + w.say("Here the text of the last of those with a place was sent after %s.", w.seconds(r.Know.Max))
}

// Scale says how much of that night this one was, which not everybody who reads the headline reads below.
func (r *Result) Scale() string {
	say := r.Speech().say
	parts := say("on a PostgreSQL and an Apache Kafka")
	if r.Options.embedded() {
		parts = say("in one process, with SQLite and an embedded Kafka")
	}
	of := fmt.Sprintf("%.4g", 100*float64(r.Options.People)/FullNight)
	return say("Asked to come were %s people, %s %% of the 337,620 who waited that night; the service ran %s.", number(r.Options.People), of, parts)
}

// Kept says in words whether the promises were kept, and which of them this night could not show.
func (r *Result) Kept() string { return r.kept(r.Speech()) }

func (r *Result) kept(w Speech) string {
	held, open := 0, 0
	var empty []string
	asked := map[string]bool{}
	for _, i := range r.Audit.Invariants {
		asked[i.ID] = true
		switch {
		case i.Violations > 0:
		case i.Open > 0:
			open++
		case i.Checked == 0:
			empty = append(empty, i.ID)
		default:
			held++
		}
	}
	said := []string{w.say("%s promises were checked, and %s of them hold.", number(len(r.Audit.Invariants)-len(empty)), number(held))}
	if n := r.violations(); n > 0 {
		said = append(said, w.say("%s violations were found.", number(n)))
	}
	if open > 0 {
		said = append(said, w.say("Of %s some was still open when the night ended.", number(open)))
	}
	if len(empty) > 0 {
		said = append(said, w.say("For %s more there was nothing to check (%s).", number(len(empty)), strings.Join(empty, ", ")))
	}
	if !asked["I14"] {
		said = append(said, w.say("I14, that the topic and the outbox hold the same events, was not asked about."))
	}
	return strings.Join(said, " ")
}

// LookedSoon says how the service of a small night differs from one as it is by default; empty when it does not.
func (r *Result) LookedSoon() string {
	looks := r.Options.looks()
	if looks == nil {
		return ""
	}
	w := r.Speech()
	return w.say("A lost answer was looked up %s to %s after it was missed, where the service by default takes from 5 s to 3 minutes: the network here lists a text at once.",
		w.seconds(looks[0].Seconds()), w.seconds(looks[len(looks)-1].Seconds()))
}

// Refused are the reasons with their numbers of people.
func (r *Result) Refused() (out []struct {
	Why string
	N   int
}) {
	for _, why := range r.refusals() {
		out = append(out, struct {
			Why string
			N   int
		}{reason(r.Speech(), why), r.Refusals[why]})
	}
	return out
}

// Lasted and the others are for the page.
func (r *Result) Lasted() string {
	return r.Speech().say("%s, %s people a second", r.Speech().seconds(r.lasted().Seconds()), thousands(r.perSecond()))
}

// Received is the time from the first click to the last receipt.
func (r *Result) Received() string { return r.Speech().seconds(r.since(r.LastReceipt).Seconds()) }

// Seed is the crowd's, as digits.
func (r *Result) Seed() string { return fmt.Sprint(r.Options.Seed) }

// Shape is which processes made up the service.
func (r *Result) Shape() string { return strings.Join(r.Options.shape(), " · ") }

// PerBooking is how many bytes of database a booking took.
func (r *Result) PerBooking() string {
	if r.Booked == 0 {
		return ""
	}
	return r.Speech().say("Before the first booking it took %s; that is %s bytes for each booking.", mib(r.Empty),
		thousands(math.Round(float64(r.Stored-r.Empty)/float64(r.Booked))))
}

// CPU is the time that all processes of the rush took together, and what that comes to for each booking.
func (r *Result) CPU() string {
	var all time.Duration
	for _, u := range r.Costs {
		all += u.CPU
	}
	w := r.Speech()
	if r.Booked == 0 {
		return w.say("Together %s.", w.seconds(all.Seconds()))
	}
	return w.say("Together %s of processor time, %s ms for each booking.", w.seconds(all.Seconds()), fmt.Sprintf("%.2f", 1000*all.Seconds()/float64(r.Booked)))
}

// Effect is a fault and what could be seen of it.
type Effect struct {
	Number             int
	When, What, Lasted string
	Hit                string
	Before, During     string // texts a second
	Silence            string // the longest time without a text, from the fault's beginning to ten seconds after its end, or to the next
	Err                string
}

// Effects are all faults.
func (r *Result) Effects() (out []Effect) {
	for i, f := range r.Faults {
		from, to := f.At.Sub(r.Gate).Seconds(), f.Until.Sub(r.Gate).Seconds()
		end := to + 10
		if i+1 < len(r.Faults) {
			end = min(end, r.Faults[i+1].At.Sub(r.Gate).Seconds())
		}
		out = append(out, Effect{Number: i + 1, When: r.Speech().seconds(from), What: f.What, Lasted: r.Speech().seconds(to - from), Hit: r.hit(f),
			Before: thousands(mean(r.Sent, from-5, from)), During: thousands(mean(r.Sent, from, max(to, from+1))),
			Silence: r.silence(from, end), Err: f.Err})
	}
	return out
}

// hit says what a fault did.
func (r *Result) hit(f happened) string {
	say := r.Speech().say
	switch {
	case f.Killed:
		return say("%s; meanwhile %s requests of the crowd got no answer", f.Process, number(r.unanswered(f.At, f.Until)))
	case f.Process != "":
		return f.Process
	case f.Err != "":
		return "–"
	}
	return say("%s requests to the provider", number(f.Requests))
}

// unanswered is how many of the crowd's requests got no answer between the looks around two moments.
func (r *Result) unanswered(from, to time.Time) (n int64) {
	var before int64
	for _, s := range r.Samples {
		if !s.At.After(from) {
			before = s.Unanswered
		}
		if n = s.Unanswered - before; !s.At.Before(to) {
			break
		}
	}
	return n
}

// mean is the mean of whole seconds that lie between two moments, at least one.
func mean(perSecond []int, from, to float64) float64 {
	a, b := max(0, int(from)), int(to)
	if b <= a {
		b = a + 1
	}
	sum := 0
	for i := a; i < b && i < len(perSecond); i++ {
		sum += perSecond[i]
	}
	return float64(sum) / float64(b-a)
}

// silence is the longest run of whole seconds in which no text went out though somebody waited for one.
func (r *Result) silence(from, to float64) string {
	at := func(perSecond []int, i int) int {
		if i < len(perSecond) {
			return perSecond[i]
		}
		return 0
	}
	longest, run, any := 0, 0, false
	for i := max(0, int(from)); i < max(int(to), int(from)+1); i++ {
		sent, due := at(r.Sent, i) > 0, at(r.Due, i) > 0
		any = any || sent || due
		if run++; sent || !due {
			run = 0
		}
		longest = max(longest, run)
	}
	switch {
	case !any: // nobody waited for a text
		return "–"
	case longest == 0:
		return r.Speech().say("under 1 s")
	}
	return r.Speech().say("%s s", number(longest))
}

func (r *Result) marks() (out []mark) {
	for i, f := range r.Faults {
		out = append(out, mark{f.At.Sub(r.Gate).Seconds(), i + 1})
	}
	return out
}

// Pace is how many people clicked, got a place and were told so when they asked, and how many texts went out, each second.
func (r *Result) Pace() chart {
	say := r.Speech().say
	n := max(len(r.Clicks), len(r.Bookings), len(r.Sent), len(r.Looks))
	return chart{Speech: r.Speech(), ID: "pace", Title: say("The night, second by second"), Unit: say("a second"), Marks: r.marks(),
		What: say("Clicks, bookings, texts and answers to “am I booked?” a second, from the opening of the gate on. Numbers at the top are the faults below."),
		Series: []series{{say("clicks"), floats(r.Clicks, n)}, {say("bookings"), floats(r.Bookings, n)}, {say("texts"), floats(r.Sent, n)},
			{say("look-ups"), floats(r.Looks, n)}}}
}

// Waits is what waited. A second in which nobody looked shows what the look before found, and one in which nobody could say is a gap.
func (r *Result) Waits() chart {
	say := r.Speech().say
	c := chart{Speech: r.Speech(), ID: "waits", Title: say("What waited"), Unit: say("at that moment"), Marks: r.marks(),
		What: say("Changes that were not yet in Kafka, those in Kafka that the notifiers had not taken in (Kafka's lag, as the brokers said within the last five seconds), texts that were not yet sent, and texts of which the answer was lost, at each second. A gap is where no process could say.")}
	line := func(name string, of func(sample) (value int64, known bool)) {
		var values []float64
		looked := -1 // the second of the last look
		for _, s := range r.Samples {
			n := int(s.At.Sub(r.Gate) / time.Second)
			if s.At.Before(r.Gate) || n > len(r.Sent)+30 {
				continue
			}
			for len(values) <= n {
				last := math.NaN()
				if len(values) > 0 {
					last = values[len(values)-1]
				}
				values = append(values, last)
			}
			v, known := of(s)
			switch {
			case known && looked == n && values[n] > float64(v): // the most of that second
			case known:
				values[n] = float64(v)
			case looked != n:
				values[n] = math.NaN()
			}
			looked = n
		}
		c.Series = append(c.Series, series{say(name), values})
	}
	line("not in Kafka yet", func(s sample) (int64, bool) { return s.WaitPublish, s.Told })
	line("in Kafka, not taken in yet", func(s sample) (int64, bool) { return s.Lag, s.LagTold })
	line("texts not sent yet", func(s sample) (int64, bool) { return s.WaitSend, s.Told })
	line("answers lost", func(s sample) (int64, bool) { return s.Unknown, s.Told })
	return c
}

// Bill is what each process cost, the dearest first. One that was killed and its successor have the same name, and cost apart.
func (r *Result) Bill() []usage {
	w, bill := r.Speech(), slices.Clone(r.Costs)
	for i, u := range r.Costs { // in the order in which they ended
		is := func(v usage) bool { return v.Name == u.Name }
		name := w.say(u.Name)
		if roles := r.Roles[u.Name]; roles != "" {
			name += " (" + roles + ")"
		}
		switch {
		case slices.ContainsFunc(r.Costs[i+1:], is):
			name = w.say("%s, until it was killed", name)
		case slices.ContainsFunc(r.Costs[:i], is):
			name = w.say("%s, started again", name)
		}
		bill[i].Name = name
	}
	slices.SortStableFunc(bill, func(a, b usage) int { return cmp.Compare(b.CPU, a.CPU) })
	return bill
}

// Hardware is what is known of the machine.
func (r *Result) Hardware() string {
	say, m := r.Speech().say, r.Machine
	var known []string
	if m.Processor != "" {
		known = append(known, m.Processor)
	}
	if m.Memory > 0 {
		known = append(known, say("%s GiB of memory", fmt.Sprintf("%.1f", float64(m.Memory)/(1<<30))))
	}
	if m.Kernel != "" {
		known = append(known, say("kernel %s", m.Kernel))
	}
	return strings.Join(known, ", ")
}
