package audit

import "fmt"

// invariants are the promises that tables alone can show: what was booked (here), and what was told (invariants_texts.go).
// I9 and I11, about the console, are in staff.go, and I14 is in topic.go; what the log and the provider's list show of I2, I6 and
// I16 is in texts.go. I10 and I15 are no facts of a database.
func invariants(d dialect) []invariant {
	return []invariant{i1(d), i2(d), i3, i4(d), i5, i6(d), i7(), i8, i9, i12, i13(d)}
}

// noMessage finds outbox rows that lack the message of one of their recipients; age compares their own. A row that the
// sweeper has set aside is an exception that people see.
func noMessage(d dialect, age string) string {
	one := func(recipient string) string {
		return `SELECT CAST(o.event_id AS text) AS id FROM outbox o WHERE o.recipients LIKE '%` + recipient + `%'
			AND o.created_at ` + age + ` ? AND NOT EXISTS (
				SELECT 1 FROM message m WHERE m.event_id = o.event_id AND m.recipient = '` + recipient + `')
			AND NOT EXISTS (SELECT 1 FROM parked_event p WHERE p.topic = 'outbox' AND p.body = ` + d.bytesOf("o.event_id") + `)`
	}
	return one("resident") + " UNION ALL " + one("booker") + " UNION ALL " + one("former")
}

// jobOf is what has to be in the queue for a message, NULL when nothing.
const jobOf = `CASE WHEN m.state IN ('pending', 'undelivered') THEN 'send' WHEN m.state = 'sending' THEN 'answer'
	WHEN m.state = 'unknown' THEN 'look' WHEN m.state IN ('accepted', 'sent') AND m.reason <> 'unconfirmed' THEN 'poll'
	WHEN m.state IN ('held', 'failed') THEN 'person' END`

// sentAgain: somebody has taken care of a held or failed message by sending it again.
const sentAgain = `EXISTS (SELECT 1 FROM message x WHERE x.reservation_id = m.reservation_id AND x.version = m.version
	AND x.kind = m.kind AND x.recipient = m.recipient AND x.resend > m.resend)`

// over says that the appointment of a reservation began so long ago that its texts may have been deleted. Its parameter is
// textsFrom.
func over(reservation string) string {
	return `EXISTS (SELECT 1 FROM slot WHERE slot.id = ` + reservation + `.slot_id AND slot.starts_at < ?)`
}

func i1(d dialect) invariant {
	unmade := []arg{before(messageWithin), before(messageWithin), before(messageWithin)} // one for each recipient
	late := []arg{before(openWithin)}
	return invariant{
		id:       "I1",
		sentence: "every reservation has one outbox row a change, and each of them ended in an accepted text or in an exception that says why",
		about:    []string{`SELECT id FROM reservation`},
		open: []question{
			{"outbox row that is not a message yet", noMessage(d, ">="), unmade},
			{"message on its way", `SELECT m.id FROM message m JOIN message_queue q ON q.message_id = m.id
				WHERE m.state IN ('pending', 'sending', 'undelivered') AND q.due_at >= ?`, late},
		},
		wrong: []question{
			// CASE keeps the second look for those that the first found.
			{"reservation with a change that the outbox never had", `WITH have AS (
					SELECT reservation_id, COUNT(DISTINCT version) AS n FROM outbox WHERE resend = 0 GROUP BY reservation_id)
				SELECT CAST(r.id AS text) AS id FROM reservation r LEFT JOIN have h ON h.reservation_id = r.id
				WHERE CASE WHEN COALESCE(h.n, 0) >= r.version THEN 0 WHEN ` + over("r") + ` THEN 0 WHEN (
					SELECT COUNT(*) FROM (
						SELECT o.version FROM outbox o WHERE o.reservation_id = r.id AND o.resend = 0 AND o.version <= r.version
						UNION SELECT m.version FROM message m WHERE m.reservation_id = r.id AND m.resend = 0) AS known
					) < r.version THEN 1 ELSE 0 END = 1`, []arg{textsFrom}},
			{"reservation with two outbox rows for one change", `SELECT CAST(reservation_id AS text) AS id FROM outbox
				GROUP BY reservation_id, version, resend HAVING COUNT(*) > 1`, nil},
			{"event that never became a message", noMessage(d, "<"), unmade},
			{"request to send again that became nothing", `SELECT CAST(x.event_id AS text) AS id FROM resend x WHERE x.created_at < ?
				AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event_id = x.event_id)
				AND NOT EXISTS (SELECT 1 FROM message m WHERE m.event_id = x.event_id)
				AND NOT EXISTS (SELECT 1 FROM reservation r WHERE r.id = x.reservation_id AND ` + over("r") + `)`, []arg{before(messageWithin), textsFrom}},
			{"message for which nothing is due", `SELECT CAST(m.id AS text) AS id FROM message m WHERE ` + jobOf + ` IS NOT NULL
				AND NOT EXISTS (SELECT 1 FROM message_queue q WHERE q.message_id = m.id)
				AND NOT (m.state IN ('held', 'failed') AND ` + sentAgain + `)`, nil},
			{"message for which the wrong thing is due", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN message_queue q ON q.message_id = m.id WHERE q.job <> ` + jobOf, nil},
			// A finished message may still be asked about, for as long as the outcome of one of its attempts is not known: a
			// second copy is to be counted.
			{"finished message for which something is due", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN message_queue q ON q.message_id = m.id WHERE ` + jobOf + ` IS NULL AND NOT (q.job IN ('poll', 'answer')
					AND EXISTS (SELECT 1 FROM attempt a WHERE a.message_id = m.id AND a.state IN ('open', 'unknown')))`, nil},
			{"due time of no message", `SELECT CAST(q.message_id AS text) AS id FROM message_queue q
				WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = q.message_id)`, nil},
			{"message that nobody attends to", `SELECT CAST(q.message_id AS text) AS id FROM message_queue q
				WHERE q.job <> 'person' AND q.due_at < ?`, late},
			{"exception that does not say why", `SELECT CAST(id AS text) AS id FROM message
				WHERE state IN ('failed', 'held', 'suppressed', 'undelivered') AND reason = ''`, nil},
			{"message suppressed as cancelled, though it was not", `SELECT CAST(m.id AS text) AS id
				FROM message m JOIN reservation r ON r.id = m.reservation_id
				WHERE m.state = 'suppressed' AND r.status = 'confirmed'
				AND m.reason IN ('cancelled', 'may-have-been-sent-then-cancelled')`, nil},
			{"message suppressed as superseded by nothing", `SELECT CAST(m.id AS text) AS id
				FROM message m JOIN reservation r ON r.id = m.reservation_id
				WHERE m.state = 'suppressed' AND m.reason = 'superseded' AND m.version >= r.version`, nil},
			{"message suppressed as past before the appointment", `SELECT CAST(m.id AS text) AS id
				FROM message m JOIN reservation r ON r.id = m.reservation_id JOIN slot s ON s.id = r.slot_id
				WHERE m.state = 'suppressed' AND m.reason = 'appointment-past' AND m.version = r.version
				AND m.updated_at < s.starts_at`, nil},
		},
	}
}

var i3 = invariant{
	id:       "I3",
	sentence: "no slot has more reservations than places, each counts right, and nobody has two in a programme",
	about:    []string{`SELECT id FROM slot`},
	wrong: []question{
		{"slot with more reservations than places", `SELECT s.id AS id FROM slot s LEFT JOIN (
				SELECT slot_id, COUNT(*) AS n FROM reservation WHERE status = 'confirmed' GROUP BY slot_id) AS held
			ON held.slot_id = s.id WHERE COALESCE(held.n, 0) > s.capacity OR s.taken > s.capacity`, nil},
		{"slot that counts wrong", `SELECT s.id AS id FROM slot s LEFT JOIN (
				SELECT slot_id, COUNT(*) AS n FROM reservation WHERE status = 'confirmed' GROUP BY slot_id) AS held
			ON held.slot_id = s.id WHERE s.taken <> COALESCE(held.n, 0)`, nil},
		{"person with two reservations in one programme", `SELECT CAST(MIN(CAST(id AS text)) AS text) AS id FROM reservation
			WHERE status = 'confirmed' GROUP BY programme_id, identity_hash HAVING COUNT(*) > 1`, nil},
		// Nothing else looks: reservations have no foreign keys on PostgreSQL.
		{"reservation of a slot, programme or client that is not there", `SELECT CAST(r.id AS text) AS id FROM reservation r
			WHERE NOT EXISTS (SELECT 1 FROM slot s WHERE s.id = r.slot_id AND s.programme_id = r.programme_id)
			OR NOT EXISTS (SELECT 1 FROM programme p WHERE p.id = r.programme_id)
			OR NOT EXISTS (SELECT 1 FROM api_key k WHERE k.id = r.api_key_id)`, nil},
	},
}

func i4(d dialect) invariant {
	return invariant{
		id:       "I4",
		sentence: "no text without a committed cause, and none that began after a cancel or a change",
		about:    []string{`SELECT token FROM attempt`, `SELECT id FROM message`},
		wrong: []question{
			{"message without a reservation", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE NOT EXISTS (SELECT 1 FROM reservation r WHERE r.id = m.reservation_id)`, nil},
			// Nothing else looks: attempts and receipts have no foreign keys on PostgreSQL.
			{"attempt without a message", `SELECT a.token AS id FROM attempt a
				WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = a.message_id)`, nil},
			{"receipt without an attempt", `SELECT x.attempt_token AS id FROM receipt x
				WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.token = x.attempt_token)`, nil},
			{"message of a version that never was", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN reservation r ON r.id = m.reservation_id WHERE m.version > r.version`, nil},
			{"event of a version that never was", `SELECT CAST(o.event_id AS text) AS id FROM outbox o
				LEFT JOIN reservation r ON r.id = o.reservation_id WHERE r.id IS NULL OR o.version > r.version`, nil},
			{"message without an event", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event_id = m.event_id)
				AND m.event_at >= ?`, []arg{eventsFrom}},
			{"text sent again that nobody asked for", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE m.resend > 0 AND NOT EXISTS (SELECT 1 FROM resend x WHERE x.event_id = m.event_id
					AND x.reservation_id = m.reservation_id AND x.version = m.version AND x.number = m.resend
					AND x.recipients LIKE '%' || m.recipient || '%')`, nil},
			{"cancellation of what is not cancelled", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN reservation r ON r.id = m.reservation_id WHERE m.kind = 'cancellation' AND r.status <> 'cancelled'`, nil},
			{"message of another kind than its event", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN outbox o ON o.event_id = m.event_id
				WHERE m.reservation_id <> o.reservation_id OR m.version <> o.version OR m.resend <> o.resend
				OR o.recipients NOT LIKE '%' || m.recipient || '%'
				OR m.kind <> CASE o.type WHEN 'ansim.reservation.booked.v1' THEN 'confirmation'
					WHEN 'ansim.reservation.changed.v1' THEN 'change' ELSE 'cancellation' END`, nil},
			{"attempt that began after the reservation was changed or cancelled", `SELECT a.token AS id
				FROM attempt a JOIN message m ON m.id = a.message_id
				JOIN outbox o ON o.reservation_id = m.reservation_id AND o.version > m.version
				WHERE m.kind <> 'cancellation' AND o.created_at < a.started_at
				GROUP BY a.token, a.started_at HAVING ` + d.seconds("MIN(o.created_at)", "a.started_at") + ` > ?`, []arg{seconds(slack)}},
		},
	}
}

var i5 = invariant{
	id:       "I5",
	sentence: "one idempotency key made one reservation, and what was acknowledged exists",
	about:    []string{`SELECT key FROM idempotency_key`},
	wrong: []question{
		{"reservation made by two keys", `SELECT CAST(reservation_id AS text) AS id FROM idempotency_key
			WHERE status = 201 AND reservation_id IS NOT NULL GROUP BY reservation_id HAVING COUNT(*) > 1`, nil},
		{"acknowledged reservation that does not exist", `SELECT COALESCE(CAST(k.reservation_id AS text), 'none') AS id
			FROM idempotency_key k WHERE k.status = 201 AND NOT EXISTS (
				SELECT 1 FROM reservation r WHERE r.id = k.reservation_id AND r.api_key_id = k.api_key_id)`, nil},
	},
}

// i12 is judged by I1 and I8, which know what is late; this says how much there is. How old the oldest is says Figures.
var i12 = invariant{
	id:       "I12",
	sentence: "after a fault the backlog drains: what is not sent yet is open, and what is past its time breaks I1 or I8",
	about:    []string{`SELECT message_id FROM message_queue`},
	open: []question{
		{"text that waits", `SELECT message_id FROM message_queue WHERE job NOT IN ('poll', 'person')`, nil},
	},
}

// i13 is about what a person reads last. A text of an older version may not begin after one of a newer, nor may a newer one
// begin while it is not known what became of an older: whichever arrives last would be by chance.
func i13(d dialect) invariant {
	missing := func(recipient, who, age string) string {
		return fmt.Sprintf(`SELECT CAST(r.id AS text) AS id FROM reservation r WHERE %s AND r.updated_at %s ? AND NOT EXISTS (
				SELECT 1 FROM message m WHERE m.reservation_id = r.id AND m.version = r.version AND m.recipient = '%s' AND m.resend = 0)
			AND NOT EXISTS (SELECT 1 FROM outbox o JOIN parked_event p ON p.topic = 'outbox' AND p.body = %s
				WHERE o.reservation_id = r.id AND o.version = r.version) AND NOT %s`, who, age, recipient, d.bytesOf("o.event_id"), over("r"))
	}
	newest := func(age string) string {
		return missing("resident", "r.version >= 1", age) + " UNION ALL " + missing("booker", "r.booker_phone IS NOT NULL", age)
	}
	const pairs = ` FROM message older JOIN message newer ON newer.reservation_id = older.reservation_id
			AND newer.recipient = older.recipient AND newer.version > older.version
		JOIN attempt a ON a.message_id = older.id JOIN attempt b ON b.message_id = newer.id `
	within := []arg{before(messageWithin), textsFrom, before(messageWithin), textsFrom}
	return invariant{
		id:       "I13",
		sentence: "the last text to a person is about the last state of the reservation",
		about:    []string{`SELECT id FROM reservation`},
		open:     []question{{"last state that is no message yet", newest(">="), within}},
		wrong: []question{
			{"last state that nobody is told", newest("<"), within},
			{"cancelled reservation whose last text does not say so", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN reservation r ON r.id = m.reservation_id
				WHERE m.version = r.version AND r.status = 'cancelled' AND m.kind <> 'cancellation'`, nil},
			{"text that began after one of a newer version", `SELECT a.token AS id` + pairs + `AND b.n = 1
				WHERE a.started_at > b.started_at GROUP BY a.token`, nil},
			{"text that began before it was known what became of an older one", `SELECT b.token AS id` + pairs + `
				WHERE a.started_at <= b.started_at AND NOT ` + failedBy + ` AND NOT ` + takenBy + `
				AND (` + underWay + ` OR ` + soon(d) + `) GROUP BY b.token`, []arg{seconds(firstLook)}},
		},
	}
}
