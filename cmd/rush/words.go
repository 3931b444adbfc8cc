package rush

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Summary is the outcome in figures, as --json prints it. Times are in seconds.
type Summary struct {
	People      int            `json:"people"`
	Came        int            `json:"came"`
	Booked      int            `json:"booked"`
	Refused     map[string]int `json:"refused"`
	NoAnswer    int            `json:"no_answer"`
	Told        int            `json:"told"`
	NotTold     int            `json:"not_told"`
	Phantoms    *int           `json:"phantoms"` // null when they were not counted
	Texts       int            `json:"texts"`
	Delivered   int64          `json:"delivered"` // texts that are on their phones, as the phone network says
	Lost        int64          `json:"lost"`
	Duplicates  int64          `json:"duplicates"`
	Risked      int64          `json:"duplicates_risked"`
	Oversold    int64          `json:"oversold"`
	Violations  int64          `json:"violations"`
	Seconds     float64        `json:"seconds"`          // from the first click to the last text
	Receipts    float64        `json:"receipts_seconds"` // from the first click to the last receipt
	Unconfirmed int64          `json:"receipts_missing"` // texts of which the phone network has not said yet what became
	PerSecond   float64        `json:"people_per_second"`
	KnowP50     float64        `json:"know_p50"`
	KnowP99     float64        `json:"know_p99"`
	KnowMax     float64        `json:"know_max"`
	Requests    int            `json:"requests"` // for a place
	Lookups     int            `json:"lookups"`  // requests
	Cancels     int            `json:"cancels"`  // requests
	Interrupted bool           `json:"interrupted"`
	OK          bool           `json:"ok"`
}

// Summary gives the outcome in figures.
func (r *Result) Summary() Summary {
	f := r.Audit.Figures
	s := Summary{People: r.Options.People, Came: r.Came, Booked: r.Booked, Refused: r.Refusals, NoAnswer: r.NoAnswer, Told: r.Told,
		NotTold: r.NotTold, Phantoms: r.phantoms(), Texts: r.Texts, Delivered: r.Delivered, Lost: f.Lost, Duplicates: f.Duplicates, Risked: f.Risked, Oversold: f.Oversold,
		Violations: r.violations(), Seconds: r.lasted().Seconds(), Receipts: r.since(r.LastReceipt).Seconds(), Unconfirmed: f.Queue.Poll, PerSecond: r.perSecond(), KnowP50: r.Know.P50, KnowP99: r.Know.P99,
		KnowMax: r.Know.Max, Requests: r.Requests, Lookups: r.Lookups, Cancels: r.Cancels, Interrupted: r.Interrupted, OK: r.OK()}
	return s
}

func (r *Result) violations() (n int64) {
	for _, i := range r.Audit.Invariants {
		n += i.Violations
	}
	return n
}

// someUntold says that there are people with a place whose text nobody has seen, or may be.
func (r *Result) someUntold() bool { return r.Interrupted || r.NotTold > 0 || r.NoAnswer > 0 }

// phantoms are the texts about a place that nobody was told of. They are not counted in a night that was stopped: the crowd went
// home while answers were under way.
func (r *Result) phantoms() *int {
	if r.Interrupted {
		return nil
	}
	return &r.Phantoms
}

// lasted is the time from the first click to the last text.
func (r *Result) lasted() time.Duration { return r.since(r.LastText) }

// since is the time from the first click to a moment, 0 when there is none.
func (r *Result) since(t time.Time) time.Duration {
	if r.FirstClick.IsZero() || t.Before(r.FirstClick) {
		return 0
	}
	return t.Sub(r.FirstClick)
}

// perSecond is how many people a second were served: booked and told.
func (r *Result) perSecond() float64 {
	if r.lasted() <= 0 {
		return 0
	}
	return float64(r.Told) / r.lasted().Seconds()
}

// refusals are the reasons, the most frequent first.
func (r *Result) refusals() []string {
	return slices.SortedFunc(maps.Keys(r.Refusals), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Refusals[b], r.Refusals[a]), cmp.Compare(a, b))
	})
}

// reasons are the API's slugs in words.
var reasons = map[string]string{
	"not-eligible":   "not among those who were called",
	"not-open-yet":   "it was not open yet",
	"window-closed":  "the time to book was over",
	"slot-full":      "no place was free",
	"already-booked": "had a place already",
}

// reason says why somebody was refused.
func reason(w Speech, slug string) string {
	if words, ok := reasons[slug]; ok {
		return w.say(words)
	}
	if status, ok := strings.CutPrefix(slug, "status-"); ok {
		return w.say("an answer with status %s", status)
	}
	return slug
}

func (r *Result) refused() (n int) {
	for _, of := range r.Refusals {
		n += of
	}
	return n
}

// WriteText prints the outcome for people.
func (r *Result) WriteText(w io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	say("")
	if r.Interrupted {
		say("The night was stopped before its end.")
	}
	say("%d people came, %d have a place, %d were refused, %d got no answer; %d requests for a place, %d of them before the gate; %d look-ups, %d requests to cancel.",
		r.Came, r.Booked, r.refused(), r.NoAnswer, r.Requests, r.Early, r.Lookups, r.Cancels)
	for _, why := range r.refusals() {
		say("  refused: %s: %d", reason(Speech{}, why), r.Refusals[why])
	}
	if r.Know.N > 0 {
		last := "the last"
		if r.someUntold() {
			last = "of those who were told, the last"
		}
		say("For %d of those with a place a text about it was sent; half of them within %s of their click, 99 of 100 within %s, %s after %s.",
			r.Told, seconds(r.Know.P50), seconds(r.Know.P99), last, seconds(r.Know.Max))
		say("From the first click to the last text: %s; %.0f people a second. To the last receipt: %s.", seconds(r.lasted().Seconds()), r.perSecond(),
			seconds(r.since(r.LastReceipt).Seconds()))
	}
	f := r.Audit.Figures
	say("The phone network took %d texts; %d are on their phones, as it says.", r.Texts, r.Delivered)
	if n := f.Queue.Poll; n > 0 {
		say("  of %d texts it has not told the service yet what became", n)
	}
	phantoms := "not counted"
	if n := r.phantoms(); n != nil {
		phantoms = number(*n)
	}
	say("Not told %d, lost %d, texts about nobody's place %s, duplicates %d (risked on purpose %d), oversold %d.", r.NotTold, f.Lost, phantoms,
		f.Duplicates, f.Risked, f.Oversold)
	for _, what := range r.Wrong {
		say("  contradiction: %s", what)
	}
	for _, note := range r.Notes {
		say("  note: %s", note)
	}
	if r.Audit.Failed(true) {
		return r.Audit.WriteText(w)
	}
	say("%s", r.kept(Speech{}))
	return nil
}

// seconds writes a time as people say it.
func seconds(s float64) string {
	switch {
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	case s < 1000 && int(s)%60 != 0:
		return fmt.Sprintf("%d min %d s", int(s)/60, int(s)%60)
	case s < 3*3600:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.0f h", s/3600)
}
