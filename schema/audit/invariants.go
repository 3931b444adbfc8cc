package audit

import "time"

// invariant is one promise as questions to the database. Ids are those of FAULTS: I1 to I5 and I8; I2, I6 and I16 are also
// asked of the provider's log, see log.go.
type invariant struct {
	id, sentence string
	about        []string   // rows that it is about
	wrong, open  []question // each returns the ids of what is wrong, or on its way
	order        bool       // ask outOfOrder, too
}

// question is a query for ids. ages are its parameters, in order: instants that long ago.
type question struct {
	finding string
	query   string
	ages    []func(Options) time.Duration
}

func messageWithin(o Options) time.Duration { return o.MessageWithin }
func openWithin(o Options) time.Duration    { return o.OpenWithin }

func late(f func(Options) time.Duration) []func(Options) time.Duration {
	return []func(Options) time.Duration{f}
}

// noMessage finds outbox rows that lack the message of one of their recipients; %s compares their age.
func noMessage(age string) string {
	one := func(recipient string) string {
		return `SELECT CAST(o.event_id AS text) AS id FROM outbox o WHERE o.recipients LIKE '%` + recipient + `%'
			AND o.created_at ` + age + ` ? AND NOT EXISTS (
				SELECT 1 FROM message m WHERE m.event_id = o.event_id AND m.recipient = '` + recipient + `')`
	}
	return one("resident") + " UNION ALL " + one("booker")
}

var invariants = []invariant{
	{
		id:       "I1",
		sentence: "every reservation has one outbox row a change, and each of them ended in an accepted text or in an exception that says why",
		about:    []string{`SELECT id FROM reservation`},
		open: []question{
			{"outbox row that is not a message yet", noMessage(">="), []func(Options) time.Duration{messageWithin, messageWithin}},
			{"message on its way", `SELECT id FROM message WHERE state IN ('pending', 'sending') AND due_at >= ?`, late(openWithin)},
		},
		wrong: []question{
			{"reservation with a change that the outbox never had", `WITH have AS (
					SELECT reservation_id, COUNT(DISTINCT version) AS n FROM outbox WHERE resend = 0 GROUP BY reservation_id)
				SELECT CAST(r.id AS text) AS id FROM reservation r LEFT JOIN have h ON h.reservation_id = r.id
				WHERE COALESCE(h.n, 0) < r.version AND (
					SELECT COUNT(*) FROM (
						SELECT o.version FROM outbox o WHERE o.reservation_id = r.id AND o.resend = 0 AND o.version <= r.version
						UNION SELECT m.version FROM message m WHERE m.reservation_id = r.id AND m.resend = 0) AS known
					) < r.version`, nil},
			{"reservation with two outbox rows for one change", `SELECT CAST(reservation_id AS text) AS id FROM outbox
				GROUP BY reservation_id, version, resend HAVING COUNT(*) > 1`, nil},
			{"event that never became a message", noMessage("<"), []func(Options) time.Duration{messageWithin, messageWithin}},
			{"message that nobody sends", `SELECT CAST(id AS text) AS id FROM message
				WHERE state IN ('pending', 'sending') AND due_at < ?`, late(openWithin)},
			{"exception that does not say why", `SELECT CAST(id AS text) AS id FROM message
				WHERE state IN ('failed', 'held', 'suppressed', 'undelivered') AND reason = ''`, nil},
			{"accepted message of which no attempt was accepted", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE m.state IN ('accepted', 'sent', 'delivered', 'undelivered') AND NOT EXISTS (
					SELECT 1 FROM attempt a WHERE a.message_id = m.id AND a.provider_sid IS NOT NULL)`, nil},
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
	},
	{
		id:       "I2",
		sentence: "no text was accepted twice, but for one whose first answer was lost or that was not delivered",
		about:    []string{`SELECT id FROM message`},
		wrong: []question{
			{"attempt after another that was accepted", `SELECT b.token AS id FROM attempt a
				JOIN attempt b ON b.message_id = a.message_id AND b.n > a.n
				WHERE a.provider_sid IS NOT NULL AND b.provider_sid IS NOT NULL AND a.unknown_at IS NULL
				AND a.state NOT IN ('failed', 'undelivered')
				GROUP BY b.token`, nil},
			{"two messages for one text", `SELECT CAST(reservation_id AS text) AS id FROM message
				GROUP BY reservation_id, kind, version, recipient, resend HAVING COUNT(*) > 1`, nil},
		},
	},
	{
		id:       "I3",
		sentence: "no slot has more reservations than places, each counts right, and nobody has two in a programme",
		about:    []string{`SELECT id FROM slot`},
		wrong: []question{
			{"slot with more reservations than places", `SELECT s.id AS id FROM slot s JOIN (
					SELECT slot_id, COUNT(*) AS n FROM reservation WHERE status = 'confirmed' GROUP BY slot_id) AS held
				ON held.slot_id = s.id WHERE held.n > s.capacity OR s.taken > s.capacity`, nil},
			{"slot that counts wrong", `SELECT s.id AS id FROM slot s LEFT JOIN (
					SELECT slot_id, COUNT(*) AS n FROM reservation WHERE status = 'confirmed' GROUP BY slot_id) AS held
				ON held.slot_id = s.id WHERE s.taken <> COALESCE(held.n, 0)`, nil},
			{"person with two reservations in one programme", `SELECT CAST(MIN(CAST(id AS text)) AS text) AS id FROM reservation
				WHERE status = 'confirmed' GROUP BY programme_id, identity_hash HAVING COUNT(*) > 1`, nil},
		},
	},
	{
		id:       "I4",
		sentence: "no text without a committed cause, and none that began after a cancel or a change",
		about:    []string{`SELECT token FROM attempt`, `SELECT id FROM message`},
		wrong: []question{
			{"message without a reservation", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE NOT EXISTS (SELECT 1 FROM reservation r WHERE r.id = m.reservation_id)`, nil},
			{"message of a version that never was", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN reservation r ON r.id = m.reservation_id WHERE m.version > r.version`, nil},
			{"event of a version that never was", `SELECT CAST(o.event_id AS text) AS id FROM outbox o
				LEFT JOIN reservation r ON r.id = o.reservation_id WHERE r.id IS NULL OR o.version > r.version`, nil},
			// Outbox rows may be deleted when they are old; a message younger than the oldest of them has its own.
			{"message without an event", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event_id = m.event_id)
				AND m.event_at >= (SELECT MIN(created_at) FROM outbox)`, nil},
			{"cancellation of what is not cancelled", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN reservation r ON r.id = m.reservation_id WHERE m.kind = 'cancellation' AND r.status <> 'cancelled'`, nil},
			{"message of another kind than its event", `SELECT CAST(m.id AS text) AS id FROM message m
				JOIN outbox o ON o.event_id = m.event_id
				WHERE m.reservation_id <> o.reservation_id OR m.version <> o.version OR m.resend <> o.resend
				OR m.kind <> CASE o.type WHEN 'ansim.reservation.booked.v1' THEN 'confirmation'
					WHEN 'ansim.reservation.changed.v1' THEN 'change' ELSE 'cancellation' END`, nil},
		},
		order: true,
	},
	{
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
	},
	{
		id:       "I8",
		sentence: "an unknown outcome is resolved, or held for a person, within half an hour",
		about:    []string{`SELECT token FROM attempt WHERE unknown_at IS NOT NULL OR state = 'open'`},
		open: []question{
			{"outcome that is being looked up", `SELECT m.id FROM message m WHERE m.state = 'unknown' AND NOT EXISTS (
					SELECT 1 FROM attempt a WHERE a.message_id = m.id AND a.n = m.attempts AND a.unknown_at < ?)`, late(openWithin)},
		},
		wrong: []question{
			{"outcome that nobody has resolved", `SELECT a.token AS id FROM attempt a JOIN message m ON m.id = a.message_id
				WHERE m.state = 'unknown' AND a.n = m.attempts AND a.unknown_at < ?`, late(openWithin)},
			{"request that nobody waits for", `SELECT a.token AS id FROM attempt a JOIN message m ON m.id = a.message_id
				WHERE a.state = 'open' AND (m.state IN ('pending', 'unknown', 'held', 'suppressed', 'failed')
					OR m.state = 'sending' AND a.n < m.attempts)`, nil},
			{"unknown message without an unknown attempt", `SELECT CAST(m.id AS text) AS id FROM message m
				WHERE m.state = 'unknown' AND NOT EXISTS (
					SELECT 1 FROM attempt a WHERE a.message_id = m.id AND a.unknown_at IS NOT NULL)`, nil},
		},
	},
}
