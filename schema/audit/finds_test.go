package audit

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ansim/schema/sqldb"
)

// planted breaks a promise in one way; base, which it is planted in, breaks none.
type planted struct {
	breaks      func(w world)
	id, finding string
	example     string
}

var plantings = map[string]planted{
	"a change without an outbox row": {func(w world) {
		w.exec(`UPDATE reservation SET version = 2 WHERE id = ?`, reservation(2))
	}, "I1", "reservation with a change that the outbox never had", reservation(2)},
	"an outbox row too many": {func(w world) { w.event(50, 2, "booked", 1, 0, ago(time.Second)) },
		"I1", "reservation with two outbox rows for one change", reservation(2)},
	"no message": {func(w world) { w.forget(2) }, "I1", "event that never became a message", event(2)},
	"no message for the booker": {func(w world) {
		w.exec(`UPDATE outbox SET recipients = 'resident,booker' WHERE event_id = ?`, event(2))
	}, "I1", "event that never became a message", event(2)},
	"no message for the former number": {func(w world) {
		w.exec(`UPDATE outbox SET recipients = 'resident,former' WHERE event_id = ?`, event(2))
	}, "I1", "event that never became a message", event(2)},
	"a request without an event": {func(w world) {
		w.again(2, 0)
		w.exec(`DELETE FROM outbox WHERE event_id = ?`, event(302))
		w.undo(302)
		w.exec(`DELETE FROM message WHERE id = ?`, message(302))
	}, "I1", "request to send again that became nothing", event(302)},
	"pending and not due": {func(w world) {
		w.becomes(2, "pending", "", "not_sent")
		w.due(2, "", noon)
	}, "I1", "message for which nothing is due", message(2)},
	"accepted and not asked for": {func(w world) {
		w.becomes(2, "accepted", "", "accepted")
		w.due(2, "", noon)
	}, "I1", "message for which nothing is due", message(2)},
	"undelivered and not due": {func(w world) {
		w.becomes(2, "undelivered", "error-30003", "undelivered")
		w.due(2, "", noon)
	}, "I1", "message for which nothing is due", message(2)},
	"unknown and to be sent": {func(w world) {
		w.becomes(2, "unknown", "answer-lost", "unknown")
		w.due(2, "send", noon)
	}, "I1", "message for which the wrong thing is due", message(2)},
	"delivered and to be sent": {func(w world) { w.due(2, "send", noon) },
		"I1", "finished message for which something is due", message(2)},
	"delivered and asked for": {func(w world) { w.due(2, "poll", noon) },
		"I1", "finished message for which something is due", message(2)},
	"due for nobody": {func(w world) { w.due(50, "send", noon) }, "I1", "due time of no message", message(50)},
	"a message that nobody sends": {func(w world) {
		w.becomes(2, "pending", "", "not_sent")
		w.due(2, "send", ago(31*time.Minute))
	}, "I1", "message that nobody attends to", message(2)},
	"a receipt that nobody asks for": {func(w world) {
		w.becomes(2, "accepted", "", "accepted")
		w.due(2, "poll", ago(31*time.Minute))
	}, "I1", "message that nobody attends to", message(2)},
	"no reason": {func(w world) { w.becomes(2, "failed", "", "rejected") }, "I1", "exception that does not say why", message(2)},
	"suppressed as cancelled": {func(w world) { w.becomes(2, "suppressed", "cancelled", "") },
		"I1", "message suppressed as cancelled, though it was not", message(2)},
	"suppressed as superseded": {func(w world) { w.becomes(2, "suppressed", "superseded", "") },
		"I1", "message suppressed as superseded by nothing", message(2)},
	"suppressed as past": {func(w world) { w.becomes(2, "suppressed", "appointment-past", "") },
		"I1", "message suppressed as past before the appointment", message(2)},

	"accepted, and again": {func(w world) { w.attempt(50, 2, 2, "accepted", ago(time.Minute)) },
		"I2", "attempt after another that was known to be accepted", tokenOf(50)},
	"called back, and again": {func(w world) {
		w.exec(`UPDATE attempt SET unknown_at = finished_at WHERE token = ?`, tokenOf(2))
		w.attempt(50, 2, 2, "unknown", ago(time.Minute))
	}, "I2", "attempt after another that was known to be accepted", tokenOf(50)},
	"accepted, not sent, and again": {func(w world) {
		w.exec(`UPDATE attempt SET n = 1, unknown_at = finished_at WHERE token = ?`, tokenOf(2))
		w.exec(`UPDATE receipt SET received_at = ? WHERE attempt_token = ?`, ago(20*time.Minute), tokenOf(2))
		w.attempt(50, 2, 2, "not_sent", ago(30*time.Minute))
		w.attempt(51, 2, 3, "accepted", ago(10*time.Minute))
	}, "I2", "attempt after another that was known to be accepted", tokenOf(51)},
	"again at once": {func(w world) { w.attempt(50, 2, 2, "accepted", sqldb.At(noon.Add(-time.Hour+time.Millisecond))) },
		"I2", "attempt while another was under way", tokenOf(50)},
	"again without an answer": {func(w world) {
		w.becomes(2, "delivered", "", "open")
		w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
	}, "I2", "attempt while another was under way", tokenOf(50)},
	"again without a look": {func(w world) {
		w.becomes(2, "delivered", "", "unknown")
		w.attempt(50, 2, 2, "delivered", sqldb.At(noon.Add(-time.Hour+5*time.Second)))
	}, "I2", "attempt before the lost one was looked for", tokenOf(50)},
	"two messages for one text": {func(w world) {
		w.unbound()
		w.event(50, 2, "booked", 1, 1, ago(time.Minute))
		w.message(50, 2, "confirmation", 1, 0, "pending")
	}, "I2", "two messages for one text", reservation(2)},

	"oversold":   {func(w world) { w.exec(`UPDATE slot SET capacity = 2, taken = 2`) }, "I3", "slot with more reservations than places", "slot"},
	"miscounted": {func(w world) { w.exec(`UPDATE slot SET taken = 4`) }, "I3", "slot that counts wrong", "slot"},
	"booked twice": {func(w world) {
		w.exec(`DROP INDEX reservation_one_active`)
		w.exec(`UPDATE reservation SET identity_hash = ?`, []byte{7})
	}, "I3", "person with two reservations in one programme", reservation(1)},

	"booked nowhere": {func(w world) {
		w.unbound()
		w.exec(`UPDATE reservation SET api_key_id = ? WHERE id = ?`, event(60), reservation(1))
	}, "I3", "reservation of a slot, programme or client that is not there", reservation(1)},

	"an attempt of nothing": {func(w world) {
		w.unbound()
		w.exec(`UPDATE attempt SET message_id = ? WHERE token = ?`, event(60), tokenOf(1))
	}, "I4", "attempt without a message", tokenOf(1)},
	"a receipt of nothing": {func(w world) {
		w.unbound()
		w.exec(`INSERT INTO receipt (attempt_token, provider_sid, status, source, received_at) VALUES ('none', 'SM', 'sent', 'callback', ?)`, ago(time.Minute))
	}, "I4", "receipt without an attempt", "none"},

	"a text for nobody": {func(w world) { w.message(50, 50, "confirmation", 1, 0, "pending") },
		"I4", "message without a reservation", message(50)},
	"a text of the future": {func(w world) { w.message(50, 2, "change", 2, 0, "pending") },
		"I4", "message of a version that never was", message(50)},
	"an event for nobody": {func(w world) { w.event(50, 50, "booked", 1, 0, ago(time.Second)) },
		"I4", "event of a version that never was", event(50)},
	"an event of the future": {func(w world) { w.event(50, 2, "changed", 2, 0, ago(time.Second)) },
		"I4", "event of a version that never was", event(50)},
	"a text without an event": {func(w world) {
		w.exec(`UPDATE message SET event_id = ? WHERE id = ?`, event(50), message(2))
		w.exec(`UPDATE outbox SET created_at = ? WHERE event_id = ?`, ago(time.Second), event(2))
	}, "I4", "message without an event", message(2)},
	"again, unasked": {func(w world) {
		w.again(2, 0)
		w.exec(`DELETE FROM resend`)
	}, "I4", "text sent again that nobody asked for", message(302)},
	"again, to somebody else": {func(w world) {
		w.again(2, 0)
		w.exec(`UPDATE resend SET recipients = 'booker'`)
	}, "I4", "text sent again that nobody asked for", message(302)},
	"a cancellation of nothing": {func(w world) {
		w.exec(`UPDATE outbox SET type = 'ansim.reservation.cancelled.v1' WHERE event_id = ?`, event(2))
		w.exec(`UPDATE message SET kind = 'cancellation' WHERE id = ?`, message(2))
	}, "I4", "cancellation of what is not cancelled", message(2)},
	"another kind": {func(w world) { w.exec(`UPDATE message SET kind = 'change' WHERE id = ?`, message(2)) },
		"I4", "message of another kind than its event", message(2)},
	"another person": {func(w world) { w.exec(`UPDATE message SET recipient = 'booker' WHERE id = ?`, message(2)) },
		"I4", "message of another kind than its event", message(2)},
	"a text after the cancel": {func(w world) {
		w.cancel(2, ago(30*time.Minute))
		w.exec(`UPDATE attempt SET started_at = ? WHERE token = ?`, sqldb.At(noon.Add(-30*time.Minute+2100*time.Millisecond)), tokenOf(2))
	}, "I4", "attempt that began after the reservation was changed or cancelled", tokenOf(2)},

	"two keys, one reservation": {func(w world) { w.exec(`UPDATE idempotency_key SET reservation_id = ?`, reservation(2)) },
		"I5", "reservation made by two keys", reservation(2)},
	"acknowledged and gone": {func(w world) {
		w.exec(`UPDATE idempotency_key SET reservation_id = ? WHERE key = '2'`, reservation(50))
	}, "I5", "acknowledged reservation that does not exist", reservation(50)},

	"another body": {func(w world) {
		w.becomes(2, "delivered", "", "unknown")
		w.said[2] = "else"
		w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
	}, "I6", "text that says different things in different attempts", message(2)},
	"another body when sent again": {func(w world) {
		w.again(2, 0)
		w.exec(`UPDATE attempt SET body_hash = ? WHERE token = ?`, []byte("else"), tokenOf(302))
	}, "I6", "text that says different things in different attempts", message(2)},
	"somebody else's body": {func(w world) {
		w.exec(`UPDATE attempt SET body_hash = (SELECT body_hash FROM attempt WHERE token = ?) WHERE token = ?`, tokenOf(1), tokenOf(2))
	}, "I6", "texts of different reservations or people that say the same", tokenOf(1)},

	"a receipt that changed nothing": {func(w world) { w.exec(`UPDATE attempt SET state = 'sent' WHERE token = ?`, tokenOf(2)) },
		"I7", "attempt that is behind its receipts", tokenOf(2)},
	"delivered by itself": {func(w world) { w.exec(`DELETE FROM receipt WHERE attempt_token = ?`, tokenOf(2)) },
		"I7", "attempt that is ahead of its receipts", tokenOf(2)},
	"a strange word": {func(w world) { w.receipt(2, "teleported", noon) },
		"I7", "receipt with a word that means nothing", tokenOf(2)},
	"another text's receipt": {func(w world) { w.exec(`UPDATE attempt SET provider_sid = ? WHERE token = ?`, sidOf(50), tokenOf(2)) },
		"I7", "receipt of another text than its attempt's", tokenOf(2)},
	"accepted without a SID": {func(w world) { w.exec(`UPDATE attempt SET provider_sid = NULL WHERE token = ?`, tokenOf(2)) },
		"I7", "accepted attempt without the provider's id, or one with it that is not accepted", tokenOf(2)},
	"another attempt's text": {func(w world) {
		w.exec(`UPDATE provider_text SET attempt_token = ? WHERE attempt_token = ?`, tokenOf(1), tokenOf(2))
	}, "I7", "text of the provider that is not its attempt's alone", tokenOf(2)},
	"a text that nobody holds": {func(w world) { w.exec(`DELETE FROM provider_text WHERE attempt_token = ?`, tokenOf(2)) },
		"I7", "text of the provider that is not its attempt's alone", tokenOf(2)},
	"a text of no attempt": {func(w world) {
		w.exec(`INSERT INTO provider_text (provider_sid, attempt_token) VALUES (?, ?)`, sidOf(60), tokenOf(60))
	}, "I7", "text of the provider that is not its attempt's alone", tokenOf(60)},
	"not sent, with a SID": {func(w world) { w.exec(`UPDATE attempt SET state = 'not_sent' WHERE token = ?`, tokenOf(2)) },
		"I7", "accepted attempt without the provider's id, or one with it that is not accepted", tokenOf(2)},
	"delivered without an attempt": {func(w world) { w.undo(2) },
		"I7", "message that is delivered though none of its attempts is", message(2)},
	"delivered and forgotten": {func(w world) { w.exec(`UPDATE message SET state = 'sent' WHERE id = ?`, message(2)) },
		"I7", "message that is not delivered though one of its attempts is", message(2)},
	"times of nothing": {func(w world) { w.exec(`UPDATE message SET accepted_at = NULL WHERE id = ?`, message(2)) },
		"I7", "message whose times do not follow from its attempts", message(2)},
	"delivered at no time": {func(w world) { w.exec(`UPDATE message SET delivered_at = NULL WHERE id = ?`, message(2)) },
		"I7", "message whose times do not follow from its attempts", message(2)},
	"miscounted attempts": {func(w world) { w.exec(`UPDATE message SET attempts = 2 WHERE id = ?`, message(2)) },
		"I7", "message that miscounts its attempts", message(2)},

	"unknown for too long": {func(w world) { w.becomes(2, "unknown", "answer-lost", "unknown") },
		"I8", "outcome that nobody has resolved", tokenOf(2)},
	"looked for without an end": {func(w world) {
		w.becomes(2, "unknown", "answer-lost", "unknown")
		w.exec(`UPDATE message SET looked_at = ?, updated_at = ?, looks = 4 WHERE id = ?`, ago(time.Second), ago(time.Second), message(2))
	}, "I8", "outcome that nobody has resolved", tokenOf(2)},
	"an open attempt of a pending message": {func(w world) { w.becomes(2, "pending", "", "open") },
		"I8", "request that nobody waits for", tokenOf(2)},
	"an open attempt of an accepted message": {func(w world) {
		w.becomes(2, "accepted", "", "accepted")
		w.attempt(50, 2, 2, "open", ago(time.Second))
	}, "I8", "request that nobody waits for", tokenOf(50)},
	"an open attempt for ever": {func(w world) { w.becomes(2, "sending", "", "open") },
		"I8", "request that nobody has given up", tokenOf(2)},
	"unknown without an attempt": {func(w world) {
		w.undo(2)
		w.exec(`UPDATE message SET state = 'unknown' WHERE id = ?`, message(2))
	}, "I8", "unknown message without an unknown attempt", message(2)},

	"sent again by nobody": {func(w world) {
		w.again(2, 0)
		w.exec(`UPDATE resend SET requested_by = 'staff:lee'`)
	}, "I9", "text sent again by staff that the trail does not know", event(302)},
	"sent again twice for one click": {func(w world) {
		w.again(2, 0)
		w.again(3, 0)
		w.exec(`UPDATE resend SET requested_by = 'staff:lee'`)
		w.exec(`UPDATE resend SET reservation_id = ?, number = 2 WHERE reservation_id = ?`, reservation(2), reservation(3))
		w.trail(trailRow{Actor: "staff:lee", Action: "resent", Reservation: reservation(2)})
	}, "I9", "reservation whose texts were sent again more often than somebody asked", reservation(2)},
	"set off by nobody": {func(w world) {
		w.exec(`INSERT INTO staff_run (id, about, kind, target, reason, accept_duplicates, actor, state, total, done, passed, outcomes, place, began_at,
			changed_at, lease_by, lease_until) VALUES (?, 'all', '', '', 'x', 0, 'staff:lee', 'done', 1, 1, 0, '{}', '', ?, ?, '', ?)`, id(8, 1), noon, noon, noon)
	}, "I9", "work on many that the trail does not know", id(8, 1)},
	"an entry that was taken out": {func(w world) {
		w.trail(trailRow{Action: "viewed"}, trailRow{Action: "viewed", Seq: 3})
	}, "I11", "entry that is missing", "entry 2"},
	"the last entry taken out": {func(w world) {
		w.trail(trailRow{Action: "viewed"})
		w.exec(`UPDATE staff_trail_head SET seq = 2`)
	}, "I11", "entry that is missing", "entry 2"},
	"an entry put in": {func(w world) {
		w.trail(trailRow{Action: "viewed"}, trailRow{Action: "viewed", Previous: []byte("else")})
	}, "I11", "entry that does not follow the one before it", "entry 2"},
	"an entry that was changed": {func(w world) {
		w.trail(trailRow{Action: "viewed", Hash: []byte("else")})
	}, "I11", "entry that is not as it was written", "entry 1"},
	"an entry behind the head": {func(w world) {
		w.trail(trailRow{Action: "viewed"}, trailRow{Action: "viewed"})
		w.exec(`UPDATE staff_trail_head SET seq = 1`)
	}, "I11", "entry that the head does not know", "entry 2"},
	"no head": {func(w world) {
		w.trail(trailRow{Action: "viewed"})
		w.exec(`DELETE FROM staff_trail_head`)
	}, "I11", "trail without its head", "entry 1"},

	"nobody knows of the change": {func(w world) { w.exec(`UPDATE reservation SET version = 2 WHERE id = ?`, reservation(2)) },
		"I13", "last state that nobody is told", reservation(2)},
	"the booker does not know": {func(w world) {
		w.exec(`UPDATE reservation SET booker_name = 'b', booker_phone = ? WHERE id = ?`, phoneOf(9), reservation(2))
	}, "I13", "last state that nobody is told", reservation(2)},
	"told of a change, though cancelled": {func(w world) {
		w.change(2, ago(30*time.Minute))
		w.exec(`UPDATE reservation SET status = 'cancelled' WHERE id = ?`, reservation(2))
	}, "I13", "cancelled reservation whose last text does not say so", message(202)},
	"the older text after the newer": {func(w world) {
		w.cancel(2, ago(30*time.Minute))
		w.exec(`UPDATE attempt SET started_at = ? WHERE token = ?`, ago(28*time.Minute), tokenOf(2))
	}, "I13", "text that began after one of a newer version", tokenOf(2)},
	"the newer text beside the older": {func(w world) {
		w.cancel(2, ago(30*time.Minute))
		w.exec(`UPDATE attempt SET finished_at = ? WHERE token = ?`, ago(20*time.Minute), tokenOf(2))
		w.exec(`UPDATE receipt SET received_at = ? WHERE attempt_token = ?`, ago(20*time.Minute), tokenOf(2))
	}, "I13", "text that began before it was known what became of an older one", tokenOf(102)},
	"the newer text before a look": {func(w world) {
		w.becomes(2, "suppressed", "may-have-been-sent-then-cancelled", "unknown")
		w.cancel(2, ago(30*time.Minute))
		w.exec(`UPDATE attempt SET unknown_at = ? WHERE token = ?`, sqldb.At(noon.Add(-29*time.Minute-4*time.Second)), tokenOf(2))
	}, "I13", "text that began before it was known what became of an older one", tokenOf(102)},
}

// TestFinds breaks each promise in each way, in a database of its own, and expects that finding and its example.
func TestFinds(t *testing.T) {
	t.Parallel()
	for name, c := range plantings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, 3, func(t *testing.T, w world) {
				c.breaks(w)
				r := audit(t, w.db, Options{})
				if !r.Failed(false) || !found(r, c.id, c.finding, c.example) {
					t.Errorf("%s %q of %s is not in %s", c.id, c.finding, c.example, shown(r))
				}
			})
		})
	}
}

// TestStates plants every state of a message beside every state of its only attempt: each pair is allowed or found.
func TestStates(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"":            {"pending", "held", "suppressed"},
		"unknown":     {"unknown", "pending", "held", "suppressed"},
		"not_sent":    {"pending", "held", "suppressed"},
		"rejected":    {"pending", "failed", "held", "suppressed"},
		"accepted":    {"accepted"},
		"sent":        {"sent"},
		"failed":      {"failed", "undelivered", "pending", "held", "suppressed"},
		"undelivered": {"failed", "undelivered", "pending", "held", "suppressed"},
	}
	const finding = "message whose state does not follow from its attempts"
	each(t, 1, func(t *testing.T, w world) {
		for attempt, right := range allowed {
			for _, state := range []string{"pending", "sending", "unknown", "accepted", "sent", "undelivered", "failed", "held", "suppressed"} {
				w.becomes(1, state, "why", attempt)
				if got, want := found(audit(t, w.db, Options{}), "I7", finding, message(1)), !slices.Contains(right, state); got != want {
					t.Errorf("message %s, attempt %q: found %v", state, attempt, got)
				}
			}
		}
	})
}

// TestEveryQuestionIsPlanted: a question that no planting makes red shows nothing.
func TestEveryQuestionIsPlanted(t *testing.T) {
	t.Parallel()
	red := map[string]bool{"I7 message whose state does not follow from its attempts": true} // TestStates
	for _, p := range plantings {
		red[p.id+" "+p.finding] = true
	}
	waits := map[string]bool{}
	for _, o := range openings {
		waits[o.id+" "+o.finding] = true
	}
	for _, inv := range invariants(dialect{sqldb.SQLite}) {
		wrong := inv.wrong
		for _, f := range inv.families {
			wrong = append(wrong, f.questions()...)
		}
		for _, q := range wrong {
			if key := fmt.Sprint(inv.id, " ", q.finding); !red[key] {
				t.Errorf("nothing plants %s", key)
			}
		}
		for _, q := range inv.open {
			if key := fmt.Sprint(inv.id, " ", q.finding); !waits[key] {
				t.Errorf("nothing opens %s", key)
			}
		}
	}
}
