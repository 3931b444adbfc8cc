package notifier_test

import (
	"runtime"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// spoiled are answers from which nothing follows, though the text was taken: ten megabytes, no HTTP at all, a page in between,
// one byte a second, none ever.
var spoiled = []sandbox.Answer{sandbox.AnswerHuge, sandbox.AnswerGarbage, sandbox.AnswerNotJSON, sandbox.AnswerSlow, sandbox.AnswerHang}

// readable are answers that look as bad and say what happened.
var readable = []sandbox.Answer{sandbox.AnswerJunk, sandbox.AnswerWrongType}

// hostile gives rules by which each of ids meets one of the answers once.
func (r *rig) hostile(answers []sandbox.Answer, ids []string) (rules []sandbox.Rule) {
	for i, id := range ids {
		rules = append(rules, sandbox.Rule{Match: sandbox.Match{To: r.book[id].Phone.Reveal()}, Answer: answers[i%len(answers)],
			Callbacks: sandbox.CallbacksNone, Count: 1})
	}
	return rules
}

// TestAHostileProviderHoldsUpNobodyElse: some requests never end, or end in what cannot be read. The texts of all others go
// out meanwhile, although there are fewer slots than requests that hang; and then those of the unlucky are found.
func TestAHostileProviderHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const people, victims = 150, 30
		p := quick
		p.Slots, p.SlotTime = 8, 100*time.Millisecond
		r := newRig(t, db, p)
		ids, events := r.crowd(people)
		r.faults(append(r.hostile(append(readable, spoiled...), ids[:victims]), sandbox.Rule{})...)
		n := r.start()
		r.deliver(events...)
		r.untilState(notifier.StateDelivered, ids[victims:]...)
		if k := r.wire.underWay(); k == 0 {
			t.Error("no request hangs any more")
		}
		// What hangs would do so for minutes; a stop cuts it short, and another process finds the texts.
		n.Stop()
		r.source.rejoin()
		r.start()
		r.untilAllAccepted(ids...)
		r.exactlyOne(ids...)
	})
}

// TestAHostileListProvesNothing: a lost text is looked for in a list that is spoiled in every way, and then in one that is
// not. A list that cannot be read is no list without the text: it is neither found nor sent again before.
func TestAHostileListProvesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := searching()
		p.Deadline = 700 * time.Millisecond
		r := newRig(t, db, p)
		ids, events := r.crowd(few * len(spoiled))
		rules := []sandbox.Rule{}
		for i, id := range ids {
			to := sandbox.Match{To: r.book[id].Phone.Reveal()}
			rules = append(rules, sandbox.Rule{Match: to, Answer: sandbox.Answer500, Callbacks: sandbox.CallbacksNone, Count: 1})
			// More spoiled lists than there are looks: if one were believed, the deadline would be over.
			rules = append(rules, sandbox.Rule{On: sandbox.OnList, Match: to, Answer: spoiled[i%len(spoiled)], Count: len(p.Looks) + 1})
		}
		r.faults(rules...)
		r.start()
		r.deliver(events...)
		r.untilAllAccepted(ids...)
		r.exactlyOne(ids...)
	})
}

// TestAHostileFetchLosesNoReceipt: receipts do not come, and asking for them fails in every way, lags, hangs; then it works.
func TestAHostileFetchLosesNoReceipt(t *testing.T) {
	t.Parallel()
	for _, answer := range append([]sandbox.Answer{sandbox.Answer500, sandbox.Answer503, sandbox.Answer429, sandbox.Answer401,
		sandbox.AnswerDrop, sandbox.AnswerTruncated}, spoiled...) {
		t.Run(string(answer), func(t *testing.T) {
			t.Parallel()
			db := dbtest.SQLite(t, sqldb.Options{}) // what is asked does not depend on the database
			p := insisting()
			p.Lease, p.Deadline = 15*time.Second, 700*time.Millisecond
			p.Looks = lagging().Looks // a text that the network takes after its sender's deadline is found, and not sent again
			r := newRig(t, db, p)
			r.faults(sandbox.Rule{Callbacks: sandbox.CallbacksNone}, sandbox.Rule{On: sandbox.OnFetch, Answer: answer, Count: 2 * few})
			r.start()
			ids, events := r.crowd(few)
			r.deliver(events...)
			r.untilState(notifier.StateDelivered, ids...)
			r.exactlyOne(ids...)
		})
	}
	t.Run("not there yet", func(t *testing.T) {
		t.Parallel()
		dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
			r := newRig(t, db, insisting())
			r.faults(sandbox.Rule{Callbacks: sandbox.CallbacksNone, FetchLag: sandbox.Duration(500 * time.Millisecond)})
			r.start()
			ids, events := r.crowd(few)
			r.deliver(events...)
			r.untilState(notifier.StateDelivered, ids...)
			r.exactlyOne(ids...)
		})
	})
}

// TestHugeAnswersTakeLittleMemory: five hundred answers of ten megabytes, dozens at once. It runs alone, since it looks at
// the whole process.
func TestHugeAnswersTakeLittleMemory(t *testing.T) { //nolint:paralleltest // see above
	r := newRig(t, dbtest.SQLite(t, sqldb.Options{}), quick)
	answers := []sandbox.Answer{sandbox.AnswerHuge, sandbox.AnswerJunk, sandbox.AnswerHuge, sandbox.AnswerOK}
	ids, events := r.crowd(500)
	r.faults(r.hostile(answers, ids)...)
	r.start()
	before := heap()
	r.deliver(events...)
	most := uint64(0)
	r.until("every text is known to be accepted", func() bool {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		found, err := notifier.Texts(t.Context(), r.db, ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if list := found[id]; len(list) != 1 || list[0].AcceptedAt == nil {
				return false
			}
		}
		return true
	})
	r.exactlyOne(ids...)
	const mb = 1 << 20
	after := heap()
	t.Logf("%d MB before, %d MB at most, %d MB after", before/mb, most/mb, after/mb)
	if most > before+128*mb {
		t.Errorf("%d MB were in use at once", most/mb)
	}
	if after > before+16*mb {
		t.Errorf("%d MB are in use after the storm, %d before", after/mb, before/mb)
	}
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
