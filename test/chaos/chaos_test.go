package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ansim/test/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// What the table says is tested elsewhere is there.
func TestElsewhereExists(t *testing.T) {
	t.Parallel()
	for _, c := range table() {
		if c.elsewhere == "" {
			continue
		}
		pkg, test, ok := strings.Cut(c.elsewhere, ": ")
		if !ok {
			t.Errorf("%s: %q is not a package and a test", c.name(), c.elsewhere)
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pkg), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(b), "func "+test+"(t *testing.T)")
		}
		if !found {
			t.Errorf("%s: there is no %s in %s", c.name(), test, pkg)
		}
	}
}

func TestEveryCellDoesSomething(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range table() {
		if seen[c.name()] {
			t.Errorf("%s is there twice", c.name())
		}
		seen[c.name()] = true
		if ways := btoi(c.do != nil) + btoi(c.rules != "") + btoi(c.elsewhere != ""); ways != 1 {
			t.Errorf("%s has %d ways to happen, not one", c.name(), ways)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// world is three accounts that agree: one who booked, one who moved, one who corrected, one who cancelled, one for whom
// somebody else booked, and one who asked again.
type world struct {
	st     *stand
	people []*person
	texts  []text
	l      ledger
}

func newWorld() *world {
	at := time.Date(2026, 7, 27, 1, 30, 0, 0, time.UTC)
	w := &world{st: &stand{slots: []slot{{"s0", at}, {"s1", at.Add(time.Hour)}}}, l: ledger{reservations: map[string]*entry{}, taken: map[string]int{}}}
	w.add("book")
	w.add("move", "move")
	w.add("correct", "correct")
	w.add("cancel", "cancel")
	p := w.add("booker")
	p.Booker = "+821099990000"
	w.text(p, p.Booker, "예약완료", "s0")
	w.l.reservations[p.ID].stories = append(w.l.reservations[p.ID].stories, story{Version: 1, Recipient: "booker", State: "delivered", Attempts: 1})
	p = w.add("resend")
	p.Resent = 1
	w.l.reservations[p.ID].events[[2]int{1, 1}] = 1
	w.text(p, p.Phone, "예약완료", "s0")
	return w
}

func (w *world) add(name string, deeds ...string) *person {
	n := len(w.people)
	p := &person{Identity: name, ID: "id-" + name, Code: fmt.Sprintf("K7Q29-3TX4%d", n), Phone: fmt.Sprintf("+8210%08d", n), Slot: "s0", Version: 1}
	p.numbers = []string{p.Phone}
	e := &entry{ID: p.ID, events: map[[2]int]int{{1, 0}: 1}}
	w.text(p, p.Phone, "예약완료", "s0")
	for _, d := range deeds {
		p.Version++
		e.events[[2]int{p.Version, 0}] = 1
		p.Deeds = append(p.Deeds, &deed{What: d, Accepted: true})
		switch d {
		case "move":
			p.Slot = "s1"
			w.text(p, p.Phone, "예약변경", p.Slot)
		case "correct":
			w.texts = append(w.texts, text{SID: "SM", To: p.Phone, Body: "[백신예약] 연락처가 바뀌어 이 번호로는 더 보내지 않습니다\n번호 " + p.Code})
			p.Phone = "+821088880000"
			p.numbers = append(p.numbers, p.Phone)
			w.text(p, p.Phone, "예약변경", p.Slot)
		case "cancel":
			p.Gone = true
			w.text(p, p.Phone, "예약취소", p.Slot)
		}
	}
	e.Code, e.Status, e.Slot, e.Version = strings.ReplaceAll(p.Code, "-", ""), "confirmed", p.Slot, p.Version
	if p.Gone {
		e.Status = "cancelled"
	} else {
		w.l.taken[p.Slot]++
	}
	w.people = append(w.people, p)
	w.l.reservations[p.ID] = e
	return p
}

func (w *world) text(p *person, to, word, slot string) {
	clock := map[string]string{"s0": "10:30", "s1": "11:30"}[slot]
	w.texts = append(w.texts, text{SID: fmt.Sprintf("SM%d", len(w.texts)), To: to,
		Body: fmt.Sprintf("[백신예약] 홍길동님 %s\n7/27(월)%s 강남구보건소\n번호 %s", word, clock, p.Code)})
}

func (w *world) find(name string) *person {
	for _, p := range w.people {
		if p.Identity == name {
			return p
		}
	}
	panic(name)
}

// without takes out the texts about a person that say a word.
func (w *world) without(name, word string) {
	var left []text
	for _, x := range w.texts {
		if !strings.Contains(x.Body, w.find(name).Code) || !strings.Contains(x.Body, word) {
			left = append(left, x)
		}
	}
	w.texts = left
}

// A judge that finds nothing is worth nothing: each way in which one account can differ is shown to it.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(w *world)
		want  string // "" when nothing is wrong
	}{
		"all agree":                        {func(*world) {}, ""},
		"a text that never came":           {func(w *world) { w.without("book", "예약완료") }, "I1: book"},
		"a text to the booker never came":  {func(w *world) { w.texts = append(w.texts[:0:0], w.texts...); w.dropTo("+821099990000") }, "I1: booker"},
		"a text that is explained":         {func(w *world) { w.without("book", "예약완료"); w.held("book") }, ""},
		"the same text twice":              {func(w *world) { w.text(w.find("book"), w.find("book").Phone, "예약완료", "s0") }, "I2: id-book"},
		"a third after one resend":         {func(w *world) { w.text(w.find("resend"), w.find("resend").Phone, "예약완료", "s0") }, "I2: id-resend"},
		"a phantom":                        {func(w *world) { w.texts[0].Body = strings.ReplaceAll(w.texts[0].Body, "K7Q29-3TX40", "K7Q29-ZZZZZ") }, "I4"},
		"to a stranger":                    {func(w *world) { w.texts[0].To = "+821000000099" }, "I6"},
		"cancelled without a wish":         {func(w *world) { w.text(w.find("book"), w.find("book").Phone, "예약취소", "s0") }, "I4"},
		"changed without a wish":           {func(w *world) { w.text(w.find("book"), w.find("book").Phone, "예약변경", "s0") }, "I4"},
		"confirmed after the cancellation": {func(w *world) { w.text(w.find("cancel"), w.find("cancel").Phone, "예약완료", "s1") }, "I13"},
		"the move was not told":            {func(w *world) { w.without("move", "예약변경") }, "I13"},
		"the cancellation was not told":    {func(w *world) { w.without("cancel", "예약취소") }, "I13"},
		"the new number was not told":      {func(w *world) { w.without("correct", "예약변경") }, "I1: correct"},
		"a reservation that is gone":       {func(w *world) { delete(w.l.reservations, "id-book") }, "I1: book was told"},
		"a reservation that nobody has":    {func(w *world) { w.l.reservations["x"] = &entry{} }, "I5"},
		"one more than was told":           {func(w *world) { w.l.taken["s0"]++ }, "I3"},
		"an event too few":                 {func(w *world) { delete(w.l.reservations["id-move"].events, [2]int{2, 0}) }, "I1: version 2"},
		"an event too many":                {func(w *world) { w.l.reservations["id-book"].events[[2]int{1, 1}] = 1 }, "I9"},
		"another state than was told":      {func(w *world) { w.l.reservations["id-cancel"].Status = "confirmed" }, "I1: id-cancel"},
		"an older version than was told":   {func(w *world) { w.l.reservations["id-move"].Version = 1 }, "I1: id-move"},
		"somebody without any answer":      {func(w *world) { w.find("book").ID = "" }, "never got an answer"},
		"a wrong refusal":                  {func(w *world) { w.find("book").Err = "refused" }, "refused"},
		"two with the same code":           {func(w *world) { w.find("move").Code = w.find("book").Code }, "I5"},
		"held without a reason": {func(w *world) {
			w.without("book", "예약완료")
			w.held("book")
			w.l.reservations["id-book"].stories[0].Reason = ""
		}, "I1: book"},
		"the change told of the wrong hour": {func(w *world) {
			w.without("move", "예약변경")
			w.text(w.find("move"), w.find("move").Phone, "예약변경", "s0")
		}, "I13"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c.spoil(w)
			v := judge(w.st, w.people, w.texts, w.l)
			all := strings.Join(v.wrongs, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("want %q, the judge says:\n%s", c.want, all)
			}
		})
	}
}

func (w *world) dropTo(number string) {
	var left []text
	for _, x := range w.texts {
		if x.To != number {
			left = append(left, x)
		}
	}
	w.texts = left
}

func (w *world) held(name string) {
	e := w.l.reservations["id-"+name]
	e.stories = []story{{Version: 1, Recipient: "resident", State: "held", Reason: "unknown"}}
}

func TestVerdictIsBounded(t *testing.T) {
	t.Parallel()
	var v verdict
	for range 100 {
		v.wrong("x")
	}
	if len(v.wrongs) != 25 || v.more != 75 {
		t.Errorf("%d kept, %d more", len(v.wrongs), v.more)
	}
}
