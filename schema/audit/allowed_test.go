package audit

import (
	"testing"
	"time"

	"ansim/schema/sqldb"
)

// openings are on their way, inside their deadlines.
var openings = map[string]struct {
	makes       func(w world)
	id, finding string
}{
	"no message yet": {func(w world) {
		w.forget(2)
		w.exec(`UPDATE outbox SET created_at = ? WHERE event_id = ?`, ago(30*time.Second), event(2))
		w.exec(`UPDATE reservation SET updated_at = ? WHERE id = ?`, ago(30*time.Second), reservation(2))
	}, "I1", "outbox row that is not a message yet"},
	"nobody told of the last state yet": {func(w world) {
		w.forget(2)
		w.exec(`UPDATE outbox SET created_at = ? WHERE event_id = ?`, ago(30*time.Second), event(2))
		w.exec(`UPDATE reservation SET updated_at = ? WHERE id = ?`, ago(30*time.Second), reservation(2))
	}, "I13", "last state that is no message yet"},
	"a message that waits": {func(w world) {
		w.becomes(2, "pending", "provider-not-reached", "not_sent")
		w.due(2, "send", ago(29*time.Minute))
	}, "I1", "message on its way"},
	"a message that is tried again": {func(w world) { w.becomes(2, "undelivered", "error-30003", "undelivered") }, "I1", "message on its way"},
	"unknown": {func(w world) {
		w.becomes(2, "unknown", "answer-lost", "unknown")
		w.exec(`UPDATE attempt SET unknown_at = ? WHERE token = ?`, ago(29*time.Minute), tokenOf(2))
	}, "I8", "outcome that is being looked up"},
	"looked for once more before the next attempt": {func(w world) {
		w.becomes(2, "unknown", "answer-lost", "unknown")
		w.exec(`UPDATE message SET looked_at = ?, updated_at = ?, looks = 3 WHERE id = ?`, ago(50*time.Minute), ago(time.Second), message(2))
	}, "I8", "outcome that is being looked up"},
	"a queue": {func(w world) { w.becomes(2, "pending", "", "") }, "I12", "text that waits"},
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for name, c := range openings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, 3, func(t *testing.T, w world) {
				c.makes(w)
				r := audit(t, w.db, Options{})
				open := int64(0)
				for _, i := range r.Invariants {
					if i.ID == c.id {
						open = i.Open
					}
				}
				if r.Failed(false) || !r.Failed(true) || open != 1 {
					t.Errorf("%s has %d open: %s", c.id, open, shown(r))
				}
			})
		})
	}
}

// TestAllowed: what the promises allow for is no violation, and nothing that is waited for.
func TestAllowed(t *testing.T) {
	t.Parallel()
	after := func(d time.Duration) sqldb.Time { return sqldb.At(noon.Add(-time.Hour + d)) }
	for name, c := range map[string]struct {
		makes   func(w world)
		log     string // "…" stands for what is in the log without it
		figures func(f *Figures)
	}{
		"lost, looked for, sent again, and turned up": {makes: func(w world) {
			w.exec(`UPDATE attempt SET unknown_at = finished_at WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE receipt SET received_at = ? WHERE attempt_token = ?`, ago(20*time.Minute), tokenOf(2))
			w.attempt(50, 2, 2, "delivered", after(6*time.Second+10*time.Millisecond))
		}, figures: func(f *Figures) { f.Duplicates, f.Risked = 1, 1 }},
		"lost for good, and sent again": {makes: func(w world) {
			w.becomes(2, "delivered", "", "unknown")
			w.attempt(50, 2, 2, "delivered", after(4*time.Minute))
			w.due(2, "poll", noon)
		}, figures: func(f *Figures) { f.Risked = 1 }},
		"not delivered, and sent again": {makes: func(w world) {
			w.becomes(2, "delivered", "", "undelivered")
			w.attempt(50, 2, 2, "delivered", after(12*time.Second))
		}},
		"lost, not delivered, and sent again at once": {makes: func(w world) {
			w.becomes(2, "delivered", "", "undelivered")
			w.exec(`UPDATE attempt SET unknown_at = ? WHERE token = ?`, after(11*time.Second), tokenOf(2))
			w.attempt(50, 2, 2, "delivered", after(12*time.Second))
		}},
		"not sent a few times": {makes: func(w world) {
			w.becomes(2, "delivered", "", "not_sent")
			w.attempt(50, 2, 2, "rejected", after(2*time.Second))
			w.attempt(51, 2, 3, "delivered", after(4*time.Second))
		}},
		"failed for good": {makes: func(w world) { w.becomes(2, "failed", "error-21211", "rejected") },
			figures: func(f *Figures) { f.Accepted, f.Delivered, f.Explained, f.Queue.Person = 2, 2, 1, 1 }},
		"held for a person": {makes: func(w world) { w.becomes(2, "held", "answer-lost", "unknown") },
			figures: func(f *Figures) { f.Accepted, f.Delivered, f.Explained, f.Held, f.Queue.Person = 2, 2, 1, 1, 1 }},
		"never confirmed": {makes: func(w world) {
			w.becomes(2, "sent", "unconfirmed", "sent")
			w.due(2, "", noon)
		}, figures: func(f *Figures) { f.Delivered, f.Unconfirmed = 2, 1 }},
		"a receipt to ask for": {makes: func(w world) { w.becomes(2, "accepted", "", "accepted") },
			figures: func(f *Figures) { f.Delivered, f.Queue.Poll = 2, 1 }},
		"set aside": {makes: func(w world) { w.forget(2); w.park(2) },
			figures: func(f *Figures) { f.Accepted, f.Delivered, f.Explained, f.Parked = 2, 2, 1, 1 }},
		"cancelled":           {makes: func(w world) { w.cancel(2, ago(30*time.Minute)) }},
		"changed":             {makes: func(w world) { w.change(2, ago(30*time.Minute)) }},
		"sent again":          {makes: func(w world) { w.again(2, 0) }},
		"sent again, at risk": {makes: func(w world) { w.again(2, 1) }, figures: func(f *Figures) { f.Risked = 1 }},
		"lost and cancelled": {makes: func(w world) {
			w.becomes(2, "suppressed", "may-have-been-sent-then-cancelled", "unknown")
			w.cancel(2, ago(50*time.Minute))
		}, figures: func(f *Figures) { f.Accepted, f.Delivered, f.Explained = 2, 2, 1 }},
		"called back, cancelled, and told, before the answer came": {makes: func(w world) {
			w.cancel(2, ago(50*time.Minute))
			w.exec(`UPDATE attempt SET finished_at = ? WHERE token = ?`, ago(20*time.Minute), tokenOf(2))
		}},
		"lost, called back, cancelled, and told at once": {makes: func(w world) {
			w.exec(`UPDATE attempt SET unknown_at = finished_at WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE receipt SET received_at = ? WHERE attempt_token = ?`, after(2*time.Second), tokenOf(2))
			w.cancel(2, after(2500*time.Millisecond))
			w.exec(`UPDATE attempt SET started_at = ? WHERE token = ?`, after(3*time.Second), tokenOf(102))
		}},
		"the clocks of two transactions": {makes: func(w world) {
			w.exec(`UPDATE attempt SET started_at = ? WHERE token = ?`, after(1900*time.Millisecond), tokenOf(2))
			w.exec(`UPDATE attempt SET finished_at = ? WHERE token = ?`, after(3*time.Second), tokenOf(2))
			w.cancel(2, ago(time.Hour))
		}},
		"another tag since": {makes: func(w world) {
			w.exec(`UPDATE programme SET applied_at = ?`, ago(30*time.Minute))
			w.becomes(2, "delivered", "", "unknown")
			w.said[2] = "[새이름] 예약완료\n7/27(월)21:00 보건소\n번호 ABCDE-00002"
			w.attempt(50, 2, 2, "delivered", ago(20*time.Minute))
		}, figures: func(f *Figures) { f.Risked = 1 }},
		"old rows deleted from the outbox": {makes: func(w world) {
			w.exec(`DELETE FROM outbox WHERE event_id <> ?`, event(3))
			w.exec(`UPDATE message SET event_at = ? WHERE event_id <> ?`, ago(2*time.Hour), event(3))
			w.keep(ago(90 * time.Minute))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, 3, func(t *testing.T, w world) {
				c.makes(w)
				r := audit(t, w.db, Options{})
				if r.Failed(true) {
					t.Error(shown(r))
				}
				want := Figures{Booked: 3, Accepted: 3, Delivered: 3}
				if c.figures != nil {
					c.figures(&want)
				}
				if r.Figures.Queue.Poll > 0 && want.Queue.Poll == 0 { // the second look at a finished message
					want.Queue.Poll = r.Figures.Queue.Poll
				}
				if r.Figures != want {
					t.Errorf("%+v, want %+v", r.Figures, want)
				}
			})
		})
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	each(t, 7, func(t *testing.T, w world) {
		w.becomes(2, "pending", "", "")
		w.becomes(3, "failed", "error-21211", "rejected")
		w.forget(4)
		w.becomes(5, "pending", "", "")
		w.due(5, "send", ago(time.Hour))
		w.becomes(6, "sent", "", "sent")
		w.becomes(7, "unknown", "answer-lost", "unknown")
		w.exec(`UPDATE slot SET capacity = 4, taken = 4`)
		w.exec(`UPDATE message_queue SET since = ? WHERE message_id = ?`, ago(90*time.Minute), message(7))
		want := Figures{Booked: 7, Accepted: 2, Delivered: 1, Waiting: 2, Explained: 1, Lost: 2, Oversold: 3,
			Queue: Queue{Events: 1, Send: 2, Look: 1, Poll: 1, Person: 1, OldestSeconds: 5400}}
		got := audit(t, w.db, Options{}).Figures
		if got.Queue.OldestSeconds = float64(int64(got.Queue.OldestSeconds + 0.5)); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
