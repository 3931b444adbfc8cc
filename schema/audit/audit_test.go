package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func TestClean(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if r := audit(t, db, Options{}); r.Failed(true) || r.Figures != (Figures{}) {
			t.Errorf("an empty database: %+v", r)
		}
		w := base(t, db, 3)
		r := audit(t, db, withLog(w.logOf(3)))
		if r.Failed(true) {
			t.Error(shown(r))
		}
		if want := (Figures{Booked: 3, Accepted: 3, Delivered: 3}); r.Figures != want {
			t.Errorf("%+v, want %+v", r.Figures, want)
		}
		checked := map[string]int64{}
		for _, i := range r.Invariants {
			checked[i.ID] = i.Checked
		}
		want := map[string]int64{"I1": 3, "I2": 3, "I3": 1, "I4": 6, "I5": 3, "I6": 3, "I7": 6, "I8": 0, "I9": 0, "I11": 0, "I12": 0, "I13": 3,
			"I2-log": 3, "I6-log": 3, "I16-log": 3}
		if diff := cmp.Diff(want, checked); diff != "" {
			t.Error(diff)
		}
	})
}

// TestReport: people and programs get the same findings, with ids and without anything personal.
func TestReport(t *testing.T) {
	t.Parallel()
	w := base(t, dbtest.SQLite(t, sqldb.Options{}), 9)
	w.exec(`UPDATE slot SET capacity = 9, taken = 8`)
	w.becomes(2, "pending", "", "")
	for i := 3; i <= 9; i++ {
		w.becomes(i, "failed", "", "rejected")
	}
	r := audit(t, w.db, withLog(w.logOf(9)+taken(sidOf(70), tokenOf(70), phoneOf(70), "hello")))
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BROKEN  I3", "ok      I5", "open    I12", "I3: slot that counts wrong: slot",
		"I16-log: text without an attempt: " + sidOf(70), "not asked: I14 (--kafka), I2-provider (--provider)",
		"I16-log: the phone network took 10, we count 1 as accepted",
		"confirmations: booked 9, accepted 1, delivered 1, waiting 1, explained 0, lost 7", "waiting: events 0, texts 1,"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	if n := strings.Count(text.String(), "exception that does not say why"); n != maxExamples {
		t.Errorf("%d examples", n)
	}
	for _, want := range []string{`"booked":9`, `"duplicates":0`, `"oversold":0`, `"finding":"slot that counts wrong","id":"slot"`, `"queue":{`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
	for _, personal := range []string{"+8210", "ABCDE", "hello", "name\"", "예약"} {
		if strings.Contains(text.String()+string(b), personal) {
			t.Errorf("%s is in the report", personal)
		}
	}
}

// TestReadOnly: the audit runs on a database that was opened for reading alone, beside one that writes, and twice the same.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := base(t, dbtest.SQLite(t, sqldb.Options{}), 2)
	ro, err := sqldb.Open(t.Context(), "sqlite:"+w.db.Path(), sqldb.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ro.Close() })
	first := audit(t, ro, withLog(w.logOf(2)))
	if first.Failed(true) || first.Figures.Delivered != 2 {
		t.Error(shown(first))
	}
	if diff := cmp.Diff(fmt.Sprint(first), fmt.Sprint(audit(t, ro, withLog(w.logOf(2))))); diff != "" {
		t.Error(diff)
	}
}
