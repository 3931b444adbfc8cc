package audit

// What was known of attempt a when attempt b began, as far as the tables tell: finished_at is when a's own request had an
// answer, unknown_at when that was given up, and a receipt's received_at when it was stored.
const (
	// failedBy: the provider had said that it took the text and could not deliver it.
	failedBy = `EXISTS (SELECT 1 FROM receipt x WHERE x.attempt_token = a.token
		AND x.status IN ('failed', 'undelivered', 'canceled') AND x.received_at <= b.started_at)`
	// takenBy: the provider had said that it took the text, in its answer or in a receipt. An answer that could not be used
	// is of the moment at which the outcome became unknown.
	takenBy = `(a.provider_sid IS NOT NULL AND (
		a.http_status BETWEEN 200 AND 299 AND COALESCE(a.finished_at <= b.started_at AND (a.unknown_at IS NULL OR a.finished_at > a.unknown_at), false)
		OR EXISTS (SELECT 1 FROM receipt x WHERE x.attempt_token = a.token AND x.received_at <= b.started_at)))`
	// underWay: the request had no answer, and nobody had given it up.
	underWay = `(COALESCE(a.finished_at > b.started_at, true) AND COALESCE(a.unknown_at > b.started_at, true))`
)

// soon: the outcome had become unknown, was not known since, and there was no time to look for the text.
func soon(d dialect) string {
	return `COALESCE(a.unknown_at <= b.started_at AND NOT (a.state IN ('not_sent', 'rejected') AND COALESCE(a.finished_at <= b.started_at, false))
		AND ` + d.seconds("a.unknown_at", "b.started_at") + ` < ?, false)`
}

// i2 looks at each further attempt. One is allowed after another that was not sent, was rejected, was not delivered, or whose
// outcome was unknown for long enough to have been looked for; the last kind may make a second copy, and is counted as a
// figure. Whether the provider has two copies without such a reason, its log and its list tell.
func i2(d dialect) invariant {
	const later = ` FROM attempt a JOIN attempt b ON b.message_id = a.message_id AND b.n `
	return invariant{
		id:       "I2",
		sentence: "a text is attempted again only when the one before was not taken, was not delivered, or was looked for in vain",
		about:    []string{`SELECT id FROM message`},
		wrong: []question{
			{"attempt after another that was known to be accepted", `SELECT b.token AS id` + later + `> a.n
				WHERE ` + takenBy + ` AND NOT ` + failedBy + ` GROUP BY b.token`, nil},
			{"attempt while another was under way", `SELECT b.token AS id` + later + `= a.n + 1
				WHERE ` + underWay + ` AND NOT ` + failedBy, nil},
			{"attempt before the lost one was looked for", `SELECT b.token AS id` + later + `> a.n
				WHERE a.unknown_at IS NOT NULL AND NOT ` + failedBy + ` AND ` + soon(d) + ` GROUP BY b.token`, []arg{seconds(firstLook)}},
			{"two messages for one text", `SELECT CAST(reservation_id AS text) AS id FROM message
				GROUP BY reservation_id, kind, version, recipient, resend HAVING COUNT(*) > 1`, nil},
		},
	}
}

// i6 compares hashes: what a text said is in the provider's accounts alone. A text is made of the reservation's version and of
// the programme, so two attempts differ only if the programme was changed in between.
func i6(d dialect) invariant {
	return invariant{
		id:       "I6",
		sentence: "all attempts of a text say the same, and no two texts of different people do",
		about:    []string{`SELECT token FROM attempt`},
		wrong: []question{
			{"text that says different things in different attempts", `SELECT CAST(MIN(CAST(m.id AS text)) AS text) AS id
				FROM attempt a JOIN message m ON m.id = a.message_id JOIN reservation r ON r.id = m.reservation_id
				JOIN programme p ON p.id = r.programme_id WHERE a.started_at > p.applied_at
				GROUP BY m.reservation_id, m.kind, m.version, m.recipient HAVING MIN(` + d.hexOf("a.body_hash") + `) <> MAX(` + d.hexOf("a.body_hash") + `)`, nil},
			// Each has its reservation's code, and the booker's says that it is the booker's.
			{"texts of different reservations or people that say the same", `SELECT MIN(a.token) AS id
				FROM attempt a JOIN message m ON m.id = a.message_id GROUP BY a.body_hash
				HAVING MIN(CAST(m.reservation_id AS text) || m.recipient || m.kind) <> MAX(CAST(m.reservation_id AS text) || m.recipient || m.kind)`, nil},
		},
	}
}

// proven is what the receipts of each attempt prove together.
var proven = `(SELECT attempt_token, MAX(` + proofOf("status") + `) AS top FROM receipt GROUP BY attempt_token) AS p`

// history is what the attempts of each message come to: its newest, the newest that the provider took, whether one is delivered,
// and whether the outcome of one was ever unknown. Places and states travel in one number, so that one pass will do.
var history = `(SELECT message_id, MAX(n) AS last, MAX(n * 16 + ` + rankOf("state") + `) % 16 AS newest,
		MAX(CASE WHEN ` + rankOf("state") + ` >= 4 THEN n * 16 + ` + rankOf("state") + ` END) % 16 AS taken,
		MAX(CASE WHEN state = 'delivered' THEN 1 ELSE 0 END) AS arrived,
		MAX(CASE WHEN unknown_at IS NOT NULL THEN 1 ELSE 0 END) AS lost
	FROM attempt GROUP BY message_id) AS a`

// follows says that the state of m is one that its attempts allow; see "States of an attempt" in package notifier's design.
// A message with an open request is judged by I8.
const follows = `CASE
	WHEN a.arrived = 1 OR m.state = 'delivered' OR a.newest = 0 THEN 1
	WHEN a.newest IS NULL THEN CASE WHEN m.state IN ('pending', 'held', 'suppressed') THEN 1 ELSE 0 END
	WHEN a.taken IN (4, 5) THEN CASE WHEN m.state = CASE a.taken WHEN 4 THEN 'accepted' ELSE 'sent' END THEN 1 ELSE 0 END
	WHEN m.state = 'unknown' THEN a.lost
	WHEN a.taken IN (6, 7) THEN CASE WHEN m.state IN ('failed', 'undelivered', 'pending', 'held', 'suppressed') THEN 1 ELSE 0 END
	WHEN m.state IN ('pending', 'held', 'suppressed') THEN 1
	WHEN a.newest = 3 AND m.state = 'failed' THEN 1
	ELSE 0 END`

func i7() invariant {
	return invariant{
		id:       "I7",
		sentence: "an attempt is where its receipts have brought it, and a message is where its attempts are",
		about:    []string{`SELECT token FROM attempt`, `SELECT id FROM message`},
		wrong: []question{
			{"receipt with a word that means nothing", `SELECT attempt_token AS id FROM receipt WHERE ` + proofOf("status") + ` IS NULL`, nil},
			{"receipt of another text than its attempt's", `SELECT a.token AS id FROM receipt x JOIN attempt a ON a.token = x.attempt_token
				WHERE a.provider_sid IS NULL OR a.provider_sid <> x.provider_sid`, nil},
			{"accepted attempt without the provider's id, or one with it that is not accepted", `SELECT a.token AS id FROM attempt a
				WHERE (a.provider_sid IS NULL) = (` + rankOf("a.state") + ` >= 4)`, nil},
			{"text of the provider that is not its attempt's alone", `SELECT a.token AS id FROM attempt a
				LEFT JOIN provider_text t ON t.provider_sid = a.provider_sid WHERE a.provider_sid IS NOT NULL
					AND (t.attempt_token IS NULL OR t.attempt_token <> a.token)
				UNION ALL SELECT t.attempt_token AS id FROM provider_text t WHERE NOT EXISTS (SELECT 1 FROM attempt a
					WHERE a.token = t.attempt_token AND a.provider_sid = t.provider_sid)`, nil},
		},
		families: []family{
			{id: "a.token", from: `attempt a LEFT JOIN ` + proven + ` ON p.attempt_token = a.token`, wrong: []question{
				{"attempt that is behind its receipts", rankOf("a.state") + ` < COALESCE(p.top, 0)`, nil},
				{"attempt that is ahead of its receipts", rankOf("a.state") + ` > 4 AND ` + rankOf("a.state") + ` > COALESCE(p.top, 4)`, nil},
			}},
			{id: "CAST(m.id AS text)", from: `message m LEFT JOIN ` + history + ` ON a.message_id = m.id`, wrong: []question{
				{"message that is delivered though none of its attempts is", `m.state = 'delivered' AND COALESCE(a.arrived, 0) = 0`, nil},
				{"message that is not delivered though one of its attempts is", `m.state <> 'delivered' AND COALESCE(a.arrived, 0) = 1`, nil},
				{"message whose state does not follow from its attempts", follows + ` = 0`, nil},
				{"message whose times do not follow from its attempts", `(m.accepted_at IS NULL) <> (a.taken IS NULL)
					OR (m.delivered_at IS NULL) <> (COALESCE(a.arrived, 0) = 0)`, nil},
				{"message that miscounts its attempts", `m.attempts <> COALESCE(a.last, 0)`, nil},
			}},
		},
	}
}

// unresolved: the newest outcome has been unknown for long. A text that was looked for in vain, and then waited for its next
// attempt, is looked for once more just before that: it is unknown again for the moment that one look takes, and has moved.
const unresolved = `a.n = m.attempts AND a.unknown_at < ? AND NOT (
	COALESCE(m.looked_at > a.unknown_at, false) AND m.updated_at >= ? AND m.looks < ?)`

var i8 = invariant{
	id:       "I8",
	sentence: "an unknown outcome is resolved, or held for a person, within half an hour",
	about:    []string{`SELECT token FROM attempt WHERE unknown_at IS NOT NULL OR state = 'open'`},
	open: []question{
		{"outcome that is being looked up", `SELECT m.id FROM message m WHERE m.state = 'unknown' AND NOT EXISTS (
				SELECT 1 FROM attempt a WHERE a.message_id = m.id AND ` + unresolved + `)`,
			[]arg{before(openWithin), before(openWithin), lookCount}},
	},
	wrong: []question{
		{"outcome that nobody has resolved", `SELECT a.token AS id FROM attempt a JOIN message m ON m.id = a.message_id
			WHERE m.state = 'unknown' AND ` + unresolved, []arg{before(openWithin), before(openWithin), lookCount}},
		{"request that nobody waits for", `SELECT a.token AS id FROM attempt a JOIN message m ON m.id = a.message_id
			WHERE a.state = 'open' AND (m.state NOT IN ('sending', 'delivered') OR a.n < m.attempts)`, nil},
		{"request that nobody has given up", `SELECT a.token AS id FROM attempt a
			WHERE a.state = 'open' AND a.started_at < ?`, []arg{before(openWithin)}},
		{"unknown message without an unknown attempt", `SELECT CAST(m.id AS text) AS id FROM message m
			WHERE m.state = 'unknown' AND NOT EXISTS (
				SELECT 1 FROM attempt a WHERE a.message_id = m.id AND a.unknown_at IS NOT NULL)`, nil},
	},
}
