package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"time"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// TestLog breaks what only the network's log can tell. The log is of the world before it was broken, and more after it.
func TestLog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks      func(w world)
		log         func(log string, w world) string
		id, finding string
		example     string
	}{
		"a text of nobody's": {nil, func(log string, w world) string { return log + taken(sidOf(70), tokenOf(70), phoneOf(9), "hello") },
			"I16-log", "text without an attempt", sidOf(70)},
		"a text without a token": {nil, func(log string, w world) string { return log + taken(sidOf(70), "", phoneOf(1), w.said[1]) },
			"I16-log", "text without an attempt", sidOf(70)},
		"a text that never was": {nil, func(string, world) string { return "\n" },
			"I16-log", "accepted text that the provider does not know", tokenOf(2)},
		"one attempt, two texts": {nil, func(log string, w world) string { return log + taken(sidOf(70), tokenOf(2), phoneOf(2), w.said[2]) },
			"I16-log", "second text of one attempt", sidOf(70)},
		"one message, two texts": {nil, func(log string, w world) string { return log + taken(sidOf(70), tokenOf(2), phoneOf(2), "else") },
			"I2-log", "text that was taken twice", message(2)},
		"a lost attempt, three texts": {func(w world) {
			w.exec(`UPDATE attempt SET unknown_at = finished_at WHERE token = ?`, tokenOf(2))
		}, func(log string, w world) string {
			return log + taken(sidOf(70), tokenOf(2), phoneOf(2), w.said[2]) + taken(sidOf(71), tokenOf(2), phoneOf(2), w.said[2])
		}, "I2-log", "text that was taken twice", message(2)},
		"taken, thought unsent, and sent again": {func(w world) {
			w.becomes(2, "delivered", "", "not_sent")
			w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
		}, func(log string, w world) string { return log + w.line(50, 2, 2) }, "I2-log", "text that was taken twice", message(2)},
		"the same words from nowhere": {nil, func(log string, w world) string { return log + taken(sidOf(70), tokenOf(70), phoneOf(2), w.said[2]) },
			"I2-log", "words that one number got again", ""},
		"nobody's words, twice": {nil, func(log string, w world) string {
			return log + taken(sidOf(70), tokenOf(70), phoneOf(9), "hello") + taken(sidOf(71), tokenOf(71), phoneOf(9), "hello")
		}, "I2-log", "words that one number got again", ""},
		"another body": {nil, func(log string, w world) string { return strings.Replace(log, "ABCDE-00002", "ABCDE-00002!", 1) },
			"I6-log", "text that says something else than its attempt", sidOf(2)},
		"another number": {nil, func(log string, w world) string { return strings.Replace(log, phoneOf(2), phoneOf(9), 1) },
			"I6-log", "text that went to another number", sidOf(2)},
		"to a former number that never was": {func(w world) { w.exec(`UPDATE message SET recipient = 'former' WHERE id = ?`, message(2)) },
			func(log string, w world) string { return log }, "I6-log", "text that went to another number", sidOf(2)},
		"to a booker whom there is not": {func(w world) { w.exec(`UPDATE message SET recipient = 'booker' WHERE id = ?`, message(2)) },
			func(log string, w world) string { return log }, "I6-log", "text that went to another number", sidOf(2)},
		"another code": {func(w world) { w.exec(`UPDATE reservation SET code = 'ABCDE00009' WHERE id = ?`, reservation(2)) },
			func(log string, w world) string { return log }, "I6-log", "text without its reservation's code", sidOf(2)},
		"no code": {nil, func(log string, w world) string { return strings.Replace(log, "ABCDE-00002", "", 1) },
			"I6-log", "text without its reservation's code", sidOf(2)},
		"another word": {nil, func(log string, w world) string { return strings.Replace(log, "예약완료", "예약취소", 2) },
			"I6-log", "text without the word for its kind", sidOf(2)},
		"another day": {func(w world) { w.exec(`UPDATE slot SET starts_at = ?`, ago(-48*time.Hour)) },
			func(log string, w world) string { return log }, "I6-log", "text that tells another time", sidOf(2)},
		"another zone": {func(w world) { w.exec(`UPDATE programme SET time_zone = 'Europe/Paris'`) },
			func(log string, w world) string { return log }, "I6-log", "text that tells another time", sidOf(2)},
		"a text that we think unsent": {func(w world) { w.becomes(2, "pending", "", "not_sent") },
			func(log string, w world) string { return log }, "I16-log", "text that we count as not sent", sidOf(2)},
		"a text that we think rejected": {func(w world) { w.becomes(2, "failed", "error-1", "rejected") },
			func(log string, w world) string { return log }, "I16-log", "text that we count as rejected", sidOf(2)},
		"one lost attempt, two texts without a token": {func(w world) { w.becomes(2, "held", "answer-lost", "unknown") },
			func(log string, w world) string {
				return w.line(1, 1, 1) + taken(sidOf(70), "", phoneOf(2), w.said[2]) + taken(sidOf(71), "", phoneOf(2), w.said[2]) + w.line(3, 3, 3)
			}, "I16-log", "text without an attempt", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, 3, func(t *testing.T, w world) {
				log := w.logOf(3)
				if c.breaks != nil {
					c.breaks(w)
				}
				r := audit(t, w.db, withLog(c.log(log, w)))
				if !r.Failed(false) || !found(r, c.id, c.finding, c.example) {
					t.Errorf("%s %q of %s is not in %s", c.id, c.finding, c.example, shown(r))
				}
			})
		})
	}
}

// TestLogAllows: what the log may show without a promise being broken, and what of it is open.
func TestLogAllows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		makes func(w world)
		log   func(log string, w world) string
		open  int64 // of I16-log
	}{
		"what it should":       {log: func(log string, w world) string { return log }},
		"a line under way":     {log: func(log string, w world) string { return log + `{"sid":"SM0` }},
		"an empty line":        {log: func(log string, w world) string { return log + "\n\n" }},
		"the same line twice":  {log: func(log string, w world) string { return log + w.line(2, 2, 2) }},
		"a booker":             {makes: booker, log: func(log string, w world) string { return strings.Replace(log, phoneOf(2), phoneOf(9), 1) }},
		"a cancelled one":      {makes: func(w world) { w.cancel(2, ago(30*time.Minute)) }, log: func(log string, w world) string { return log + w.line(102, 102, 2) }},
		"sent again, as asked": {makes: func(w world) { w.again(2, 0) }, log: func(log string, w world) string { return log + w.line(302, 302, 2) }},
		"an old number": {makes: func(w world) {
			w.change(2, ago(30*time.Minute))
			w.exec(`UPDATE reservation SET phone = ? WHERE id = ?`, phoneOf(9), reservation(2))
		}, log: func(log string, w world) string { return log + w.line(202, 202, 9) }},
		"English": {makes: func(w world) {
			w.exec(`UPDATE reservation SET language = 'en' WHERE id = ?`, reservation(2))
			w.undo(2)
			w.said[2] = "[Vaccine] Booked: Changed Jones\nMon 27 Jul 21:00 Health Center\nCode ABCDE-00002"
			w.attempt(2, 2, 1, "delivered", ago(time.Hour))
		}, log: func(_ string, w world) string { return w.logOf(3) }},
		"another time since": {makes: func(w world) {
			w.exec(`UPDATE slot SET starts_at = ?`, ago(-48*time.Hour))
			w.exec(`UPDATE programme SET applied_at = ?`, ago(0))
		}, log: func(log string, w world) string { return log }},
		"lost, sent again, and both taken": {makes: func(w world) {
			w.becomes(2, "delivered", "", "unknown")
			w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
		}, log: func(log string, w world) string { return log + w.line(50, 2, 2) }},
		"failed, sent again, and both taken": {makes: func(w world) {
			w.becomes(2, "delivered", "", "undelivered")
			w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
		}, log: func(log string, w world) string { return log + w.line(50, 2, 2) }},
		"failed, delivered after all, sent again in between": {makes: func(w world) {
			w.becomes(2, "delivered", "", "undelivered")
			w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
			w.receipt(2, "delivered", ago(20*time.Minute))
			w.exec(`UPDATE attempt SET state = 'delivered' WHERE token = ?`, tokenOf(2))
		}, log: func(log string, w world) string { return log + w.line(50, 2, 2) }},
		"lost, and held": {makes: func(w world) { w.becomes(2, "held", "answer-lost", "unknown") }, log: func(log string, w world) string { return log }},
		"lost, held, and known by its body alone": {makes: func(w world) { w.becomes(2, "held", "answer-lost", "unknown") },
			log: func(log string, w world) string { return strings.Replace(log, tokenOf(2), "", 1) }},
		"lost, and looked for": {makes: func(w world) { w.becomes(2, "unknown", "answer-lost", "unknown") },
			log: func(log string, w world) string { return log }, open: 1},
		"accepted a moment ago": {makes: func(w world) {
			w.undo(2)
			w.attempt(2, 2, 1, "delivered", ago(30*time.Second))
		}, log: func(log string, w world) string { return w.line(1, 1, 1) + w.line(3, 3, 3) }, open: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, 3, func(t *testing.T, w world) {
				log := w.logOf(3)
				if c.makes != nil {
					c.makes(w)
				}
				r := audit(t, w.db, withLog(c.log(log, w)))
				n := 0
				for _, i := range r.Invariants {
					if !strings.HasSuffix(i.ID, "-log") {
						continue
					}
					n++
					if i.Violations > 0 || i.Checked < 2 || i.ID == "I16-log" && i.Open != c.open {
						t.Errorf("%d checked, want %d open: %s", i.Checked, c.open, shown(r))
					}
				}
				if n != 3 {
					t.Errorf("%d invariants about the log", n)
				}
			})
		})
	}
}

// booker gives reservation 2 a booker, whose text the one of base is.
func booker(w world) {
	w.exec(`UPDATE reservation SET booker_name = 'b', booker_phone = ? WHERE id = ?`, phoneOf(9), reservation(2))
	w.exec(`UPDATE outbox SET recipients = 'booker' WHERE event_id = ?`, event(2))
	w.exec(`UPDATE message SET recipient = 'booker' WHERE id = ?`, message(2))
}

// TestLogSpills: many texts, in memory for a few, give the same verdict.
func TestLogSpills(t *testing.T) {
	t.Parallel()
	h := newHasher()
	s := newSorter()
	s.atOnce = 7
	defer s.close()
	const n = 1000
	for i := range n {
		if err := s.add(h.taken(sidOf(i*7919%n), "", phoneOf(i), "x", noon.Time)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if err := s.each(func(r record) error { got = append(got, showSID(r.Key)); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != n || !slices.IsSorted(got) || got[n-1] != sidOf(n-1) {
		t.Errorf("%d texts, the last is %s", len(got), got[len(got)-1])
	}
}

func TestUnreadableLog(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, sqldb.Options{})
	for _, log := range []string{"{\n", "[]\n", `{"to": "` + phoneOf(1) + `"}` + "\n", strings.Repeat("x", 2<<20)} {
		_, err := Run(t.Context(), db, Options{Log: strings.NewReader(log)})
		if !errors.Is(err, ErrLog) || strings.Contains(err.Error(), "+82") {
			t.Errorf("%.20q: %v", log, err)
		}
	}
}

// FuzzReadLog: no log panics, and none that is refused is quoted.
func FuzzReadLog(f *testing.F) {
	f.Add(taken(sidOf(1), tokenOf(1), phoneOf(1), body("confirmation", 1)))
	f.Add("{\n")
	f.Add(`{"sid":"SM","token":"zz","to":"","body":"` + "\\u0000" + `","at":"2026-07-26T12:00:00Z"}` + "\n")
	f.Fuzz(func(t *testing.T, log string) {
		a, err := readLog(strings.NewReader(log))
		defer a.texts.close()
		if err != nil && !errors.Is(err, ErrLog) {
			t.Error(err)
		}
	})
}

// TestWhatABodySays holds the readers of a text against each other, for both languages and every day of a year.
func TestWhatABodySays(t *testing.T) {
	t.Parallel()
	days := map[time.Weekday]string{0: "일", 1: "월", 2: "화", 3: "수", 4: "목", 5: "금", 6: "토"}
	for d := range 366 {
		at := time.Date(2026, 1, 1, 9, 5, 0, 0, time.UTC).AddDate(0, 0, d)
		ko := fmt.Sprintf("[백신] 예약완료\n%d/%d(%s)09:05 보건소\n번호 K7Q29-3TX4M", at.Month(), at.Day(), days[at.Weekday()])
		en := "[Vaccine] Booked\n" + at.Format("Mon 2 Jan 15:04") + " Health Center\nCode K7Q29-3TX4M"
		for language, b := range map[string]string{"ko": ko, "en": en} {
			if whenIn(b) != whenOf(at, language) || whenIn(b) == "" || codeIn(b) != "K7Q29-3TX4M" || wordsIn(b) != kindBits["confirmation"] {
				t.Errorf("%q says %q, %q, %d", b, whenIn(b), codeIn(b), wordsIn(b))
			}
		}
	}
}
