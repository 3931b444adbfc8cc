package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// text is one line of the phone network's log: a text that it took.
type text struct {
	SID  string `json:"sid"`
	To   string `json:"to"`
	Body string `json:"body"`
}

// codePattern is a reservation's code in a text: Crockford's base 32, with its dash.
var codePattern = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b`)

// kind is what a text is about, by its words.
func (x text) kind() string {
	for _, k := range [][2]string{{"예약완료", "book"}, {"Booked", "book"}, {"예약변경", "change"}, {"Changed", "change"},
		{"예약취소", "cancel"}, {"Cancelled", "cancel"}} {
		if strings.Contains(x.Body, k[0]) {
			return k[1]
		}
	}
	return "former"
}

var seoul = time.FixedZone("Asia/Seoul", 9*60*60)

// says says whether a text names the time of a slot.
func (x text) says(at time.Time) bool {
	at = at.In(seoul)
	weekday := []string{"일", "월", "화", "수", "목", "금", "토"}[at.Weekday()]
	ko := fmt.Sprintf("%d/%d(%s)%02d:%02d", int(at.Month()), at.Day(), weekday, at.Hour(), at.Minute())
	return strings.Contains(x.Body, ko) || strings.Contains(x.Body, at.Format("Mon 2 Jan 15:04"))
}

// readTexts reads the network's log, the second of the three accounts; it is on disk before each answer.
func (st *stand) readTexts() (out []text, err error) {
	f, err := os.Open(st.texts)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var x text
		if json.Unmarshal(lines.Bytes(), &x) == nil { // the last line may be under way
			out = append(out, x)
		}
	}
	return out, lines.Err()
}

// ledger is what the database says, the third account.
type ledger struct {
	reservations map[string]*entry // by id
	taken        map[string]int    // by slot
	rescued      int
	held         int // texts that wait for a person
	further      int // attempts that followed another
	parked       int
}

// entry is a reservation's.
type entry struct {
	ID      string `db:"id"`
	Code    string `db:"code"`
	Status  string `db:"status"`
	Slot    string `db:"slot_id"`
	Version int    `db:"version"`

	events  map[[2]int]int // version and resend number → outbox rows
	stories []story
}

// story is what became of one message.
type story struct {
	Reservation string `db:"reservation_id"`
	Version     int    `db:"version"`
	Recipient   string `db:"recipient"`
	Resend      int    `db:"resend"`
	State       string `db:"state"`
	Reason      string `db:"reason"`
	Attempts    int    `db:"attempts"`
}

func (st *stand) readLedger(ctx context.Context) (l ledger, err error) {
	l = ledger{reservations: map[string]*entry{}, taken: map[string]int{}}
	err = st.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var entries []*entry
		if err := tx.Select(ctx, &entries, `SELECT id, code, status, slot_id, version FROM reservation`); err != nil {
			return err
		}
		for _, e := range entries {
			e.events = map[[2]int]int{}
			l.reservations[e.ID] = e
		}
		var rows []struct {
			Reservation string `db:"reservation_id"`
			Version     int    `db:"version"`
			Resend      int    `db:"resend"`
		}
		if err := tx.Select(ctx, &rows, `SELECT reservation_id, version, resend FROM outbox`); err != nil {
			return err
		}
		for _, r := range rows {
			if e := l.reservations[r.Reservation]; e != nil {
				e.events[[2]int{r.Version, r.Resend}]++
			}
		}
		var stories []story
		if err := tx.Select(ctx, &stories, `SELECT reservation_id, version, recipient, resend, state, reason, attempts FROM message`); err != nil {
			return err
		}
		for _, s := range stories {
			if e := l.reservations[s.Reservation]; e != nil {
				e.stories = append(e.stories, s)
			}
			l.further += max(0, s.Attempts-1)
			if s.State == "held" {
				l.held++
			}
		}
		var slots []struct {
			ID    string `db:"id"`
			Taken int    `db:"taken"`
		}
		if err := tx.Select(ctx, &slots, `SELECT id, taken FROM slot`); err != nil {
			return err
		}
		for _, s := range slots {
			l.taken[s.ID] = s.Taken
		}
		if err := tx.Get(ctx, &l.rescued, `SELECT COALESCE(SUM(rescued), 0) FROM sweeper`); err != nil {
			return err
		}
		return tx.Get(ctx, &l.parked, `SELECT COUNT(*) FROM parked_event`)
	})
	return l, err
}

// underWay says what is not finished yet.
func (st *stand) underWay(ctx context.Context) (string, error) {
	var missing, jobs int
	err := st.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := tx.Get(ctx, &missing, `SELECT COUNT(*) FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.event_id = o.event_id)`); err != nil {
			return err
		}
		return tx.Get(ctx, &jobs, `SELECT COUNT(*) FROM message_queue WHERE job IN ('send', 'answer', 'look')`)
	})
	if err != nil || missing+jobs == 0 {
		return "", err
	}
	return fmt.Sprintf("%d changes without a text, %d texts under way", missing, jobs), nil
}

// verdict is what the judge found wrong; limited, since one bug can wrong everybody.
type verdict struct {
	wrongs []string
	more   int
}

func (v *verdict) wrong(format string, args ...any) {
	if len(v.wrongs) < 25 {
		v.wrongs = append(v.wrongs, fmt.Sprintf(format, args...))
	} else {
		v.more++
	}
}

// judge joins the three accounts: what people were told, what the network took, and what the database says. None of them knows
// of the others, and none of the product's code is used.
func judge(st *stand, people []*person, texts []text, l ledger) (v verdict) {
	slots := map[string]time.Time{}
	for _, s := range st.slots {
		slots[s.id] = s.at
	}
	byCode, active := map[string]*person{}, map[string]int{}
	for _, p := range people {
		if p.ID == "" {
			v.wrong("I1: %s never got an answer: %s", p.Identity, p.Err)
			continue
		}
		if p.Err != "" {
			v.wrong("%s (%s): %s", p.Identity, p.ID, p.Err)
		}
		if q := byCode[p.Code]; q != nil {
			v.wrong("I5: %s and %s have the same code", p.Identity, q.Identity)
		}
		byCode[p.Code] = p
		if !p.Gone {
			active[p.Slot]++
		}
		judgeEntry(&v, p, l.reservations[p.ID])
	}
	if len(l.reservations) != len(byCode) {
		v.wrong("I5: the database holds %d reservations, and %d people were told of one", len(l.reservations), len(byCode))
	}
	for id, taken := range l.taken {
		if taken != active[id] || taken > places {
			v.wrong("I3: slot %s: taken %d of %d, and %d people were told that they have it", id, taken, places, active[id])
		}
	}
	of := map[string][]text{}
	for _, x := range texts {
		code := codePattern.FindString(x.Body)
		if byCode[code] == nil {
			v.wrong("I4: text %s is about a reservation that nobody was told of", x.SID)
			continue
		}
		of[code] = append(of[code], x)
	}
	for code, p := range byCode {
		judgeTexts(&v, p, of[code], l.reservations[p.ID], slots)
	}
	return v
}

// judgeEntry holds one person's answers against the database.
func judgeEntry(v *verdict, p *person, e *entry) {
	if e == nil {
		v.wrong("I1: %s was told of reservation %s, which is not there", p.Identity, p.ID)
		return
	}
	if want := map[bool]string{false: "confirmed", true: "cancelled"}[p.Gone]; e.Code != strings.ReplaceAll(p.Code, "-", "") || e.Status != want || e.Slot != p.Slot ||
		e.Version != p.Version {
		v.wrong("I1: %s was told of version %d in %s, %s; the database says %d, %s, %s", p.ID, p.Version, p.Slot, want, e.Version, e.Slot, e.Status)
	}
	for n := 1; n <= p.Version; n++ {
		if e.events[[2]int{n, 0}] != 1 {
			v.wrong("I1: version %d of %s has %d outbox rows", n, p.ID, e.events[[2]int{n, 0}])
		}
	}
	if len(e.events) != p.Version+p.Resent {
		v.wrong("I9: %s: %d versions and %d resends were acknowledged, and there are %d events", p.ID, p.Version, p.Resent, len(e.events))
	}
}

// judgeTexts holds the texts about one reservation against what the person was told.
func judgeTexts(v *verdict, p *person, texts []text, e *entry, slots map[string]time.Time) {
	allowed := map[string]int{} // copies of the same words to a number: one, and one for each resend
	copies := map[string]int{}
	last := map[string]text{}
	for _, x := range texts {
		if !slices.Contains(p.numbers, x.To) && x.To != p.Booker {
			v.wrong("I6: text %s about %s went to a number that is nobody's", x.SID, p.ID)
		}
		kind := x.kind()
		if kind == "cancel" && !p.Gone {
			v.wrong("I4: text %s says that %s is cancelled, which nobody asked for", x.SID, p.ID)
		}
		if kind == "change" && p.changes() == 0 || kind == "former" && len(p.numbers) == 1 {
			v.wrong("I4: text %s says that %s was changed, which nobody asked for", x.SID, p.ID)
		}
		copies[x.To+"\x00"+x.Body]++
		allowed[x.To+"\x00"+x.Body] = 1 + p.Resent
		if x.To == p.Booker { // who booked is told that a number was corrected, in the words that told them of a move
			allowed[x.To+"\x00"+x.Body] += len(p.numbers) - 1
		}
		if kind != "former" {
			if was, ok := last[x.To]; ok && was.kind() == "cancel" && kind != "cancel" {
				v.wrong("I13: text %s came after the cancellation of %s", x.SID, p.ID)
			}
			last[x.To] = x
		}
	}
	for words, n := range copies {
		if n > allowed[words] {
			v.wrong("I2: %s: the same words went %d times to the same number (%s)", p.ID, n, stories(e))
		}
	}
	want := "book"
	switch {
	case p.Gone:
		want = "cancel"
	case p.changes() > 0:
		want = "change"
	}
	for _, to := range []string{p.Phone, p.Booker} {
		if to == "" {
			continue
		}
		x, ok := last[to]
		switch {
		case !ok && e.explains(p.Version):
		case !ok:
			v.wrong("I1: %s (%s, version %d): no text, and no reason (%s)", p.Identity, p.ID, p.Version, stories(e))
		case x.kind() != want || !x.says(slots[p.Slot]):
			if !e.explains(p.Version) {
				v.wrong("I13: the last text about %s says %q of another state than %s in %s (%s)", p.ID, x.kind(), want, p.Slot, stories(e))
			}
		}
	}
}

// changes is how often the reservation was changed, cancelling aside.
func (p *person) changes() (n int) {
	for _, d := range p.Deeds {
		if d.Accepted && (d.What == "move" || d.What == "correct") {
			n++
		}
	}
	return n
}

// explains says whether the newest version has a message that ended without a text and says why.
func (e *entry) explains(version int) bool {
	return e != nil && slices.ContainsFunc(e.stories, func(s story) bool {
		return s.Version == version && s.Reason != "" && (s.State == "held" || s.State == "failed")
	})
}

func stories(e *entry) string {
	if e == nil {
		return "nothing in the database"
	}
	var out []string
	for _, s := range e.stories {
		out = append(out, strings.TrimSpace(fmt.Sprintf("v%d/%s/r%d %s ×%d %s", s.Version, s.Recipient, s.Resend, s.State, s.Attempts, s.Reason)))
	}
	return strings.Join(out, "; ")
}
