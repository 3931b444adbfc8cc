package rush

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/outbox/kafka"
	"ansim/schema/audit"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	"ansim/test/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestTheSameSeedGivesTheSamePeople(t *testing.T) {
	t.Parallel()
	const over = time.Minute
	others, early, atOnce := 0, 0, 0
	phones := map[string]bool{}
	for n := range 5000 {
		p := invent(7, n, over, 500)
		if again := invent(7, n, over, 500); !cmp.Equal(p, again) {
			t.Fatalf("person %d: %+v, then %+v", n, p, again)
		}
		if !cmp.Equal(p, invent(8, n, over, 500)) {
			others++
		}
		if p.Click < 0 || p.Click > over || p.Slot < 0 || p.Slot >= 500 || p.Devices < 1 || p.Knock > 0 || p.Knock < -lead {
			t.Fatalf("person %d: %+v", n, p)
		}
		if p.Knock != 0 {
			early++
		}
		if p.Click <= over/10 {
			atOnce++
		}
		for _, phone := range []string{p.phone(), p.bookerPhone()} {
			if phones[phone] {
				t.Fatalf("two people have %s", phone)
			}
			phones[phone] = true
		}
	}
	if others < 4990 || early < 150 || early > 350 || atOnce < 2400 || atOnce > 2900 {
		t.Errorf("with another seed %d of 5000 are others; %d come early, %d at once", others, early, atOnce)
	}
	if far := invent(7, MaxPeople-1, over, 500); len(far.phone()) != len("010-2000-0000") || len(far.bookerPhone()) != len("010-6000-0000") {
		t.Errorf("the last person's numbers: %s, %s", far.phone(), far.bookerPhone())
	}
}

func TestThereIsAPlaceForEverybody(t *testing.T) {
	t.Parallel()
	gate := time.Date(2026, 7, 19, 20, 0, 0, 0, time.FixedZone("KST", 9*3600))
	for _, people := range []int{1, 1000, FullNight} {
		file, slots, err := programme(gate, people)
		if err != nil {
			t.Fatal(err)
		}
		places := 0
		var last time.Time
		for _, s := range file.Slots {
			places += s.Capacity
			if s.StartsAt.Before(last) || !s.StartsAt.After(gate) {
				t.Errorf("slot %s is at %s, after one at %s", s.ID, s.StartsAt, last)
			}
			last = s.StartsAt
		}
		if len(slots) != len(file.Slots) || places < people {
			t.Errorf("%d slots with %d places for %d people", len(file.Slots), places, people)
		}
		rules := file.Rules
		if len(rules) != 1 || !rules[0].OpensAt.Equal(gate) {
			t.Errorf("the rules are %+v", rules)
		}
	}
}

func TestWhatCannotBeMeantIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	const here, kafka = "postgres://u@127.0.0.1:5432/rush", "localhost:9092"
	for name, o := range map[string]Options{
		"nobody":           {People: -1},
		"more than exist":  {People: MaxPeople + 1},
		"no time":          {Over: time.Millisecond},
		"half real":        {DatabaseURL: here},
		"the other half":   {Kafka: kafka},
		"another machine":  {DatabaseURL: "postgres://u@db.internal/rush", Kafka: kafka},
		"as a parameter":   {DatabaseURL: "postgres:///rush?host=db.internal", Kafka: kafka},
		"as the second":    {DatabaseURL: "postgres://u@127.0.0.1,db.internal/rush", Kafka: kafka},
		"nearly loopback":  {DatabaseURL: "postgres://127.example/rush", Kafka: kafka},
		"SQLite":           {DatabaseURL: "sqlite:/tmp/rush.db", Kafka: kafka},
		"brokers away":     {DatabaseURL: here, Kafka: kafka + ",kafka.internal:9092"},
		"no broker at all": {DatabaseURL: here, Kafka: "kafka"},
	} {
		if _, err := Run(t.Context(), o); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]Options{
		"embedded": {}, "here": {DatabaseURL: here, Kafka: kafka + ", [::1]:9092"},
		"a socket":               {DatabaseURL: "postgres:///rush?host=/var/run/postgresql", Kafka: kafka},
		"elsewhere, and said so": {DatabaseURL: "postgres://u@db.internal/rush", Kafka: "kafka.internal:9092", Elsewhere: true},
	} {
		if err := o.withDefaults().check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryShapeHasEveryRoleAndEveryFaultItsProcess(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {DatabaseURL: "postgres://", Kafka: "k"}} {
		for _, f := range []Faults{None, Night, Harsh} {
			o.Faults = f
			all := strings.Join(o.shape(), ",")
			for _, role := range []string{"api", "relay", "notifier"} {
				if !strings.Contains(all, role) {
					t.Errorf("%s: nobody is %s", f, role)
				}
			}
			last, before := 0.0, ""
			for _, broken := range o.plan() {
				room := 0.1 // for what is broken in the phone network
				if strings.Contains(before, "killed") || strings.Contains(before, "started") {
					room = 0.08
				}
				if broken.after < last+room-1e-9 || broken.after > 0.9 {
					t.Errorf("%s: %q comes after %g of the rush, too close to what is beside it", f, broken.what, broken.after)
				}
				last, before = broken.after, broken.what
			}
			if (f == None) != (last == 0) {
				t.Errorf("%s: the last fault comes after %g", f, last)
			}
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var all []float64
	for i := range 1000 {
		all = append(all, float64(i+1)/1000)
	}
	all = append(all, 4000)
	s := spreadOf(all)
	if s.P50 != .501 || s.P99 != .991 || s.Max != 4000 || s.N != 1001 {
		t.Errorf("%+v", s)
	}
	got := map[string]int{}
	sum := 0
	for i, st := range s.Steps {
		got[s.Name(Speech{}, i)] = st.N
		sum += st.N
	}
	if got["up to 100 ms"] != 100 || got["500 ms to 1.0 s"] != 500 || got["over 5 min"] != 1 || sum != 1001 {
		t.Errorf("%v", got)
	}
	if svg := string(s.SVG(Speech{}, "x")); strings.Contains(svg, "viewBox") || !strings.Contains(svg, `width="100.00%"`) || !strings.Contains(svg, `x="100%"`) {
		t.Errorf("the drawing is not as wide as the page, with its words inside: %s", svg)
	}
	if empty := spreadOf(nil); empty.N != 0 || len(empty.Steps) != 0 {
		t.Errorf("of nothing: %+v", empty)
	}
}

func TestNumbersAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 0.25: "0.2", 999: "999", 1000: "1,000", 337620: "337,620", 1234567: "1,234,567", 12.6: "13"} {
		if got := thousands(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0.0042: "4 ms", 0.9996: "1.0 s", 12.34: "12.3 s", 300: "5 min", 93 * 3600: "93 h"} {
		if got := seconds(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]float64{0: 1, 1: 1, 1.5: 2, 37: 40, 61: 80, 99: 100, 101: 200} {
		if got := nice(v); got != want {
			t.Errorf("%g: %g, want %g", v, got, want)
		}
	}
}

// night is a result as two people would make it.
func night(change func(entries []*entry, texts *[]text)) *Result {
	gate := time.Date(2026, 7, 19, 11, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return gate.Add(time.Duration(s * float64(time.Second))) }
	entries := []*entry{
		{N: 0, Click: at(0), Answered: at(.1), Outcome: booked, ID: "a", Code: "AAAAA-AAAAA", Requests: 2, Early: 1},
		{N: 1, Click: at(1), Answered: at(1.1), Outcome: booked, ID: "b", Code: "BBBBB-BBBBB", Requests: 1, Cancelled: true, Looked: .01, LookedAt: at(2.5), Lookups: 2, Cancels: 1},
		{N: 2, Click: at(1), Answered: at(1.2), Outcome: "not-eligible", Requests: 1},
		{N: 3, Click: at(9)},
	}
	texts := []text{{"[백신예약] 예약완료\n번호 AAAAA-AAAAA", at(.5)}, {"[백신예약] 예약취소\n번호 BBBBB-BBBBB", at(3)}, {"번호 AAAAA-AAAAA", at(4)}}
	if change != nil {
		change(entries, &texts)
	}
	r := &Result{Options: Options{People: 4, Seed: 1, Faults: Night}.withDefaults(), Began: gate, Gate: gate, Ended: at(5)}
	err := r.join(entries, func(each func(text)) error {
		for _, x := range texts {
			each(x)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return r
}

func TestWhatPeopleWereToldIsHeldAgainstTheTexts(t *testing.T) {
	t.Parallel()
	late := night(func(_ []*entry, ts *[]text) {
		(*ts)[0].At = (*ts)[0].At.Add(3 * time.Second)
		(*ts)[2].At = (*ts)[0].At
	})
	if !cmp.Equal(late.Due, []int{0, 1, 2}) {
		t.Errorf("until 3.5 s and 3 s their texts are due: %v", late.Due)
	}
	if never := night(func(_ []*entry, ts *[]text) { *ts = (*ts)[1:2] }); !cmp.Equal(never.Due, []int{0, 1, 2, 1, 1}) {
		t.Errorf("one text is due until the night's end: %v", never.Due)
	}
	r := night(nil)
	if !r.OK() || r.Came != 3 || r.Booked != 2 || r.Told != 2 || r.Refusals["not-eligible"] != 1 || r.Know.Max != 2 || r.Know.P50 != 2 ||
		r.Early != 1 || r.lasted() != 4*time.Second || !cmp.Equal(r.Sent, []int{1, 0, 0, 1, 1}) || !cmp.Equal(r.Clicks, []int{1, 2}) ||
		!cmp.Equal(r.Looks, []int{0, 0, 1}) || r.Lookups != 2 || r.Cancels != 1 {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		change func([]*entry, *[]text)
		bad    func(*Result) bool
	}{
		"not told":            {func(_ []*entry, ts *[]text) { *ts = (*ts)[1:2] }, func(r *Result) bool { return r.NotTold == 1 && r.Told == 1 }},
		"told of nothing":     {func(es []*entry, _ *[]text) { es[0].Outcome, es[0].Code = "slot-full", "" }, func(r *Result) bool { return r.Phantoms == 1 }},
		"two different codes": {func(es []*entry, _ *[]text) { es[1].Wrong = []string{"x"} }, func(r *Result) bool { return len(r.Wrong) == 1 }},
		"no answer":           {func(es []*entry, _ *[]text) { es[2].Outcome = "" }, func(r *Result) bool { return r.NoAnswer == 1 }},
	} {
		if r := night(c.change); r.OK() || !c.bad(r) {
			t.Errorf("%s: %+v", name, r.Summary())
		}
	}
	cancelledBefore := night(func(_ []*entry, ts *[]text) { *ts = append((*ts)[:1], (*ts)[2]) })
	if !cancelledBefore.OK() {
		t.Errorf("who gave it back before the text began is owed none: %+v", cancelledBefore.Summary())
	}
}

func TestTheReportSaysWhatItsFiguresSay(t *testing.T) {
	t.Parallel()
	page := func(r *Result) string {
		t.Helper()
		var b strings.Builder
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	r := night(nil)
	r.Faults = []happened{{At: r.Gate.Add(time.Second), Until: r.Gate.Add(2 * time.Second), What: "it <stumbles>"}}
	for i := range 5 {
		r.Samples = append(r.Samples, sample{At: r.Gate.Add(time.Duration(i) * time.Second), Told: true, WaitSend: int64(100 * i)})
	}
	good := page(r)
	for _, want := range []string{"3 people came at once. 2 have a place, and a text about it was sent for every one of them.", "93 hours", "it &lt;stumbles&gt;", "refused: not among those who were called", "400"} {
		if !strings.Contains(good, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	for _, outside := range []string{"http://", "https://", "src=", "<script", "@import", "010-"} {
		if strings.Contains(good, outside) {
			t.Errorf("the report has %q in it", outside)
		}
	}
	bad := page(night(func(_ []*entry, ts *[]text) { *ts = (*ts)[1:2] }))
	if strings.Contains(bad, "every one of them") || strings.Contains(bad, "the last of those with a place") ||
		!strings.Contains(bad, "Not everything went as promised") || !strings.Contains(bad, "of those who were told, the text of the last") {
		t.Error("the report praises a night in which somebody was not told")
	}
	if !strings.Contains(good, "Here the text of the last of those with a place was sent after 2.0 s.") {
		t.Error("the report does not say when the last text was sent")
	}
	for people, scale := range map[int]string{5000: "5,000 people, 1.481 % of the 337,620 who waited that night; the service ran in one process", FullNight: "337,620 people, 100 %"} {
		if s := (&Result{Options: Options{People: people}}).Scale(); !strings.Contains(s, scale) {
			t.Errorf("%d people: %q", people, s)
		}
	}
	stopped := night(nil)
	stopped.Interrupted = true
	if s := page(stopped); !strings.Contains(s, "stopped before its end") || strings.Contains(s, "every one of them") || !strings.Contains(s, "of those who were told, the text of the last") {
		t.Error("the report does not say that the night was stopped")
	}
	early := &Result{Options: Options{}.withDefaults(), Interrupted: true, Gate: r.Gate, Ended: r.Gate.Add(-time.Second)}
	knocked := []*entry{{Click: r.Gate.Add(time.Second), Requests: 1, Early: 1}}
	if err := early.join(knocked, func(func(text)) error { return nil }); err != nil || early.Headline() != "The night was stopped before the gate opened." {
		t.Errorf("%v, %q", err, early.Headline())
	}
	var said strings.Builder
	if err := early.WriteText(&said); err != nil || strings.Contains(said.String(), "99 of 100") {
		t.Errorf("of nobody's text it is said when it was sent: %q, %v", said.String(), err)
	}
	if s := page(&Result{Options: Options{}.withDefaults(), Interrupted: true}); !strings.Contains(s, "before anybody came") {
		t.Error("a night without people has no report")
	}
	if n := stopped.Summary().Phantoms; n != nil || !strings.Contains(page(stopped), "<b>–</b><span>texts about a place that nobody was told of") {
		t.Error("phantoms that nobody counted are said to be none")
	}
	var b strings.Builder
	if err := stopped.WriteText(&b); err != nil || !strings.Contains(b.String(), "stopped before its end") || !strings.Contains(b.String(), "of those who were told, the last after") {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// TestWhatAFaultDid: what is said of each is of its own time, and of what it hit.
func TestWhatAFaultDid(t *testing.T) {
	t.Parallel()
	r := &Result{Options: Options{}.withDefaults(), Gate: time.Date(2026, 7, 19, 11, 0, 0, 0, time.UTC)}
	at := func(s float64) time.Time { return r.Gate.Add(time.Duration(s * float64(time.Second))) }
	r.Sent = []int{5, 5, 0, 0, 5, 5, 0}
	r.Due = []int{0, 1, 2, 2, 0, 0, 0, 1, 1, 1, 1}
	r.Samples = []sample{{At: at(1), tally: tally{Unanswered: 3}}, {At: at(4), tally: tally{Unanswered: 3}}, {At: at(6), tally: tally{Unanswered: 10}}, {At: at(9), tally: tally{Unanswered: 99}}}
	r.Faults = []happened{
		{At: at(1.5), Until: at(2.5), touch: touch{Requests: 1200}}, // ends in the silence, and the next is none of its
		{At: at(4), Until: at(5.5), touch: touch{Process: "serve-1", Killed: true}},
		{At: at(5.9), Until: at(6.9)}, // hits nobody; what is due at the end never goes out
		{At: at(16.9), Until: at(17), Err: "it does not want to"},
	}
	var got [][2]string
	for _, e := range r.Effects() {
		got = append(got, [2]string{e.Silence, e.Hit})
	}
	want := [][2]string{{"2 s", "1,200 requests to the provider"}, {"under 1 s", "serve-1; meanwhile 7 requests of the crowd got no answer"},
		{"4 s", "0 requests to the provider"}, {"–", "–"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestOnlyWhatWasCheckedHolds: a promise of which there was nothing to check, or which nobody asked about, is not said to hold.
func TestOnlyWhatWasCheckedHolds(t *testing.T) {
	t.Parallel()
	const notAsked = " I14, that the topic and the outbox hold the same events, was not asked about."
	for want, all := range map[string][]audit.Invariant{
		"2 promises were checked, and 2 of them hold.":                                                            {{ID: "I1", Checked: 3}, {ID: "I14", Checked: 1}},
		"1 promises were checked, and 1 of them hold. For 2 more there was nothing to check (I8, I9)." + notAsked: {{ID: "I1", Checked: 3}, {ID: "I8"}, {ID: "I9"}},
		"2 promises were checked, and 0 of them hold. 4 violations were found." + notAsked:                        {{ID: "I1", Checked: 3, Violations: 1}, {ID: "I4", Violations: 3}},
		"2 promises were checked, and 1 of them hold. Of 1 some was still open when the night ended." + notAsked:  {{ID: "I1", Checked: 3}, {ID: "I4", Checked: 2, Open: 2}},
	} {
		r := night(nil)
		r.Audit.Invariants = all
		if got := r.Kept(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		var b strings.Builder
		if err := r.WriteText(&b); err != nil || !r.Audit.Failed(true) && !strings.HasSuffix(b.String(), want+"\n") {
			t.Errorf("%q, %v", b.String(), err)
		}
	}
}

// TestWhatIsExpectedIsMoreThanWhatIsThere as long as people have no answer, and changes or texts wait.
func TestWhatIsExpectedIsMoreThanWhatIsThere(t *testing.T) {
	t.Parallel()
	w := &watcher{st: &stage{Options: Options{People: 100}}}
	for name, c := range map[string]struct {
		at            sample
		events, texts int64
	}{
		"before the gate":              {sample{}, 100, 100},
		"all booked, little published": {sample{tally: tally{Booked: 100}, Published: 1, Texted: 1}, 100, 100},
		"in the rush":                  {sample{tally: tally{Booked: 50, Refused: 2}, Published: 55, WaitPublish: 5, Texted: 40, WaitSend: 15, Unknown: 1}, 60 + 48, 56 + 48},
		"the end":                      {sample{tally: tally{Booked: 98, Refused: 2}, Published: 103, Texted: 110}, 103, 110},
	} {
		if p := w.progress(c.at, false); p.Events != c.events || p.Texts != c.texts {
			t.Errorf("%s: %d events, %d texts, want %d and %d", name, p.Events, p.Texts, c.events, c.texts)
		}
	}
}

// TestAChartInventsNothing: what nobody could say is a gap, the axis says what its lines are at, and every fault is in the picture.
func TestAChartInventsNothing(t *testing.T) {
	t.Parallel()
	r := &Result{Options: Options{}.withDefaults(), Gate: time.Date(2026, 7, 19, 11, 0, 0, 0, time.UTC), Sent: []int{45, 0, 0, 1}, Clicks: []int{3}}
	at := func(s float64) time.Time { return r.Gate.Add(time.Duration(s * float64(time.Second))) }
	r.Samples = []sample{{At: at(-1), Told: true, WaitSend: 9}, {At: at(1.1), Told: true, WaitSend: 5, LagTold: true, Lag: 7}, {At: at(3), WaitSend: 5}, {At: at(4), Told: true, WaitSend: 2}}
	var got, lag []string
	for _, row := range r.Waits().Table() {
		got = append(got, row.Values[2])
		lag = append(lag, row.Values[1])
	}
	if want := []string{"–", "5", "5", "–", "2"}; !cmp.Equal(got, want) {
		t.Errorf("of texts that waited the table says %q, want %q", got, want)
	}
	if want := []string{"–", "7", "7", "–", "–"}; !cmp.Equal(lag, want) {
		t.Errorf("of Kafka's lag the table says %q, want %q", lag, want)
	}
	if n := strings.Count(string(r.Waits().SVG()), `class="line s2"`); n != 2 {
		t.Errorf("the line has %d pieces", n)
	}
	r.Faults = []happened{{At: at(7.5), Until: at(8)}}
	for _, row := range r.Pace().Table()[1:] {
		if row.Values[0] != "0" {
			t.Errorf("after the last click %s click", row.Values[0])
		}
	}
	svg := string(r.Pace().SVG())
	for _, tick := range []string{">0<", ">20<", ">40<", ">60<", ">80<", ">8 s<"} {
		if !strings.Contains(svg, tick) {
			t.Errorf("the axes of %s have no %s", svg, tick)
		}
	}
	drawn := regexp.MustCompile(`class="mark" x1="([0-9.]+)"`).FindStringSubmatch(svg)
	if x, err := strconv.ParseFloat(drawn[1], 64); err != nil || x > wide-right {
		t.Errorf("the fault is at %g of %g", x, wide)
	}
	dense := chart{Series: []series{{"x", make([]float64, 200)}}, Marks: []mark{{2, 1}, {3, 2}, {4, 3}, {100, 4}}}
	heights := regexp.MustCompile(`" y="([0-9.]+)" text-anchor="middle">\d<`).FindAllStringSubmatch(string(dense.SVG()), -1)
	if len(heights) != 4 || heights[0][1] == heights[1][1] || heights[1][1] == heights[2][1] || heights[0][1] != heights[3][1] {
		t.Errorf("the numbers of faults that come close together stand at %q", heights)
	}
	for most := range 300 {
		top := 4 * nice(float64(most)/4)
		if top < float64(most) || top/4 != math.Trunc(top/4) {
			t.Errorf("an axis to %g for %d", top, most)
		}
	}
}

// TestWhatItCost: two processes of one name are told apart, and what was in the database before is no booking's.
func TestWhatItCost(t *testing.T) {
	t.Parallel()
	r := &Result{Booked: 10, Empty: 1 << 20, Stored: 1<<20 + 5000, Roles: map[string]string{"serve-0": "api,relay"},
		Costs: []usage{{Name: "serve-0", CPU: time.Second}, {Name: "crowd", CPU: 2 * time.Second}, {Name: "serve-0", CPU: 3 * time.Second}}}
	var names []string
	for _, u := range r.Bill() {
		names = append(names, u.Name)
	}
	if diff := cmp.Diff([]string{"serve-0 (api,relay), started again", "crowd", "serve-0 (api,relay), until it was killed"}, names); diff != "" {
		t.Error(diff)
	}
	if got := r.PerBooking(); got != "Before the first booking it took 1 MiB; that is 500 bytes for each booking." {
		t.Errorf("%q", got)
	}
	if got := r.Hardware(); got != "" {
		t.Errorf("of a machine that says nothing: %q", got)
	}
	r.Machine = machine{Processor: "a fast one", Kernel: "6.1", Memory: 3 << 29}
	if got := r.Hardware(); got != "a fast one, 1.5 GiB of memory, kernel 6.1" {
		t.Errorf("%q", got)
	}
	if _, kernel, memory := hardware(); runtime.GOOS == "linux" && (kernel == "" || memory < 1<<20) {
		t.Errorf("kernel %q, memory %d", kernel, memory)
	}
}

// TestATopicThatCannotBeRead leaves the rest of the promises judged.
func TestATopicThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := &Result{}
	err := r.judge(t.Context(), dbtest.SQLite(t, sqldb.Options{}), strings.NewReader(""), kafka.At("127.0.0.1:1"))
	if err != nil || len(r.Audit.Invariants) == 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "topic") || !strings.Contains(r.Kept(), "I14") {
		t.Errorf("%v, notes %q, %q", err, r.Notes, r.Kept())
	}
}

// TestTheKoreanReportIsKorean: whatever the report says, it says in Korean but for names and units.
func TestTheKoreanReportIsKorean(t *testing.T) {
	t.Parallel()
	audited, err := audit.Run(t.Context(), dbtest.SQLite(t, sqldb.Options{}), audit.Options{Log: strings.NewReader("")})
	if err != nil {
		t.Fatal(err)
	}
	stopped := &Result{Options: Options{Language: Korean}.withDefaults(), Interrupted: true}
	missed := night(func(_ []*entry, ts *[]text) { *ts = (*ts)[1:2] })
	missed.Options.Language = Korean
	whole := night(nil)
	whole.Options = Options{Language: Korean, Faults: Harsh, DatabaseURL: "postgres://127.0.0.1/rush", Kafka: "127.0.0.1:9092"}.withDefaults()
	whole.Audit = audited
	for _, o := range []Options{whole.Options, {Faults: Harsh}} {
		for _, f := range o.plan() {
			whole.Faults = append(whole.Faults, happened{At: whole.Gate.Add(time.Second), Until: whole.Gate.Add(70 * time.Minute), What: f.what,
				touch: touch{Process: "serve-0", Killed: true}})
		}
	}
	whole.Faults = append(whole.Faults, happened{}, happened{touch: touch{Process: "serve-1"}})
	whole.Notes = []string{uncommitted, fmt.Sprintf(unseen, "PostgreSQL"), fmt.Sprintf(unseen, "Kafka")}
	whole.Machine.Kafka = "embedded"
	whole.Machine.Memory, whole.Machine.Kernel = 1<<33, "6"
	whole.Costs = []usage{{Name: "serve-0"}, {Name: "serve-0"}, {Name: "network", CPU: time.Second}, {Name: "crowd", CPU: time.Minute, Memory: 1 << 20}}
	whole.Refusals = map[string]int{"not-eligible": 1, "not-open-yet": 1, "window-closed": 1, "slot-full": 1, "already-booked": 1, "status-500": 1}
	whole.Look = spreadOf([]float64{0.05, 12, 400})
	whole.Samples = []sample{{At: whole.Gate.Add(time.Second), Told: true, WaitSend: 3}}
	names := regexp.MustCompile(`^(ansim|serve|Lite|Postgre|log|Kafka|API|CPU|MiB|GiB|UTC|KST|api|relay|notifier|Apache|linux|amd64|go\d.*)$`)
	tags, styles := regexp.MustCompile(`<[^>]*>`), regexp.MustCompile(`(?s)<style>.*?</style>`)
	for _, r := range []*Result{stopped, missed, whole} {
		var b strings.Builder
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), `<html lang="ko">`) {
			t.Error("the page does not say that it is Korean")
		}
		said := tags.ReplaceAllString(styles.ReplaceAllString(b.String(), ""), " ")
		for _, word := range regexp.MustCompile(`[A-Za-z][a-z]{2,}`).FindAllString(said, -1) {
			if !names.MatchString(word) {
				t.Errorf("the Korean report says %q", word)
			}
		}
	}
	for english, k := range korean {
		if strings.Count(english, "%s") != strings.Count(k, "%s") {
			t.Errorf("%q has other arguments than %q", k, english)
		}
	}
}
