package audit

import (
	"context"

	"ansim/schema/sqldb"
)

// Figures are what the promises come to. Booked to Lost count the residents' confirmations: one is due for each reservation
// ever made.
type Figures struct {
	Booked    int64 `json:"booked"`
	Accepted  int64 `json:"accepted"`  // the provider took the text
	Delivered int64 `json:"delivered"` // the phone has it
	Waiting   int64 `json:"waiting"`   // on its way, inside its deadline
	Explained int64 `json:"explained"` // not accepted, for a reason that is written down
	// Lost is what is none of these.
	Lost int64 `json:"lost"`
	// Duplicates are further copies that the provider took of one text of any kind, the failed ones left out.
	Duplicates int64 `json:"duplicates"`
	// Risked is how often a second copy was risked on purpose: an attempt while the outcome of an earlier one was unknown, or
	// a person who wanted the text again while it was. The duplicates are among them.
	Risked int64 `json:"duplicates_risked"`
	// Oversold is how many reservations there are above the places of their slots.
	Oversold int64 `json:"oversold"`
	// Unconfirmed are texts of any kind that the provider took and of which it never said what became.
	Unconfirmed int64 `json:"unconfirmed"`
	// Held are texts of any kind that wait for a person, and Parked events that do.
	Held   int64 `json:"held"`
	Parked int64 `json:"parked"`
	Queue  Queue `json:"queue"`
}

// Queue is what is due or will be, by what is to be done.
type Queue struct {
	Events int64 `json:"events"` // committed changes that are no messages yet
	Send   int64 `json:"send"`   // texts to be sent
	Answer int64 `json:"answer"` // requests without an answer
	Look   int64 `json:"look"`   // lost answers to look for
	Poll   int64 `json:"poll"`   // receipts to ask for
	Person int64 `json:"person"` // held or failed texts that somebody has to decide about
	// OldestSeconds is the age of the oldest change whose text is not accepted yet, 0 when there is none.
	OldestSeconds float64 `json:"oldest_seconds"`
}

func (r *run) figures(ctx context.Context) (Figures, error) {
	var f Figures
	d := dialect{r.tx.Dialect()}
	err := r.confirmations(ctx, d, &f)
	if err != nil {
		return f, err
	}
	for _, one := range []struct {
		into  *int64
		query string
	}{
		{&f.Duplicates, `SELECT COALESCE(SUM(n - 1), 0) FROM (
			SELECT COUNT(*) AS n FROM attempt WHERE provider_sid IS NOT NULL AND state NOT IN ('failed', 'undelivered')
			GROUP BY message_id HAVING COUNT(*) > 1) AS copies`},
		// What was not delivered by then was no risk, and what was known to be taken is no purpose: that breaks I2.
		{&f.Risked, `SELECT (SELECT COUNT(*) FROM (SELECT b.token FROM attempt a JOIN attempt b ON b.message_id = a.message_id AND b.n > a.n
				WHERE a.unknown_at <= b.started_at AND a.state NOT IN ('not_sent', 'rejected') AND NOT ` + failedBy + ` AND NOT ` + takenBy + `
				GROUP BY b.token) AS further)
			+ (SELECT COUNT(*) FROM message m JOIN resend x ON x.event_id = m.event_id WHERE x.while_unknown = 1)`},
		{&f.Oversold, `SELECT COALESCE(SUM(held.n - s.capacity), 0) FROM slot s JOIN (
				SELECT slot_id, COUNT(*) AS n FROM reservation WHERE status = 'confirmed' GROUP BY slot_id) AS held
			ON held.slot_id = s.id WHERE held.n > s.capacity`},
		{&f.Unconfirmed, `SELECT COUNT(*) FROM message WHERE state IN ('accepted', 'sent') AND reason = 'unconfirmed'`},
		{&f.Held, `SELECT COUNT(*) FROM message WHERE state = 'held'`},
		{&f.Parked, `SELECT COUNT(*) FROM parked_event`},
	} {
		if err := r.tx.Get(ctx, one.into, "SELECT CAST(("+one.query+") AS bigint)", r.tx.Unplanned()...); err != nil {
			return f, err
		}
	}
	f.Queue, err = r.queue(ctx, d)
	return f, err
}

func (r *run) confirmations(ctx context.Context, d dialect, f *Figures) error {
	var row struct {
		Booked    int64 `db:"booked"`
		Accepted  int64 `db:"accepted"`
		Delivered int64 `db:"delivered"`
		Waiting   int64 `db:"waiting"`
		Explained int64 `db:"explained"`
	}
	err := r.tx.Get(ctx, &row, `SELECT COUNT(*) AS booked,
			COUNT(CASE WHEN m.accepted_at IS NOT NULL THEN 1 END) AS accepted,
			COUNT(CASE WHEN m.delivered_at IS NOT NULL THEN 1 END) AS delivered,
			COUNT(CASE WHEN m.accepted_at IS NULL AND (m.state IN ('pending', 'sending', 'unknown') AND q.due_at >= ?
				OR m.id IS NULL AND r.created_at >= ?) THEN 1 END) AS waiting,
			COUNT(CASE WHEN m.accepted_at IS NULL AND m.state IN ('failed', 'held', 'suppressed') AND m.reason <> ''
				OR m.id IS NULL AND r.created_at < ? AND EXISTS (SELECT 1 FROM outbox o JOIN parked_event p
					ON p.topic = 'outbox' AND p.body = `+d.bytesOf("o.event_id")+` WHERE o.reservation_id = r.id AND o.version = 1)
				THEN 1 END) AS explained
		FROM reservation r LEFT JOIN message m ON m.reservation_id = r.id AND m.kind = 'confirmation'
			AND m.version = 1 AND m.recipient = 'resident' AND m.resend = 0
		LEFT JOIN message_queue q ON q.message_id = m.id
		WHERE NOT (m.id IS NULL AND `+over("r")+`)`,
		r.tx.Unplanned(before(openWithin)(r), before(messageWithin)(r), before(messageWithin)(r), textsFrom(r))...)
	f.Booked, f.Accepted, f.Delivered, f.Waiting, f.Explained = row.Booked, row.Accepted, row.Delivered, row.Waiting, row.Explained
	f.Lost = f.Booked - f.Accepted - f.Waiting - f.Explained
	return err
}

func (r *run) queue(ctx context.Context, d dialect) (q Queue, err error) {
	var rows []struct {
		Job string `db:"job"`
		N   int64  `db:"n"`
	}
	if err := r.tx.Select(ctx, &rows, `SELECT job, COUNT(*) AS n FROM message_queue GROUP BY job`, r.tx.Unplanned()...); err != nil {
		return q, err
	}
	for _, row := range rows {
		switch row.Job {
		case "send":
			q.Send = row.N
		case "answer":
			q.Answer = row.N
		case "look":
			q.Look = row.N
		case "poll":
			q.Poll = row.N
		case "person":
			q.Person = row.N
		}
	}
	none := `SELECT o.created_at FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.event_id = o.event_id)
		AND NOT EXISTS (SELECT 1 FROM parked_event p WHERE p.topic = 'outbox' AND p.body = ` + d.bytesOf("o.event_id") + `)`
	if q.Events, err = r.count(ctx, none); err != nil {
		return q, err
	}
	err = r.tx.Get(ctx, &q.OldestSeconds, `SELECT CAST(COALESCE(MAX(`+d.seconds("w.since", "CAST(? AS "+d.timestamp()+")")+`), 0) AS double precision)
		FROM (SELECT q.since AS since FROM message_queue q WHERE q.job NOT IN ('poll', 'person')
			UNION ALL `+none+`) AS w`, r.tx.Unplanned(sqldb.At(r.now))...)
	q.OldestSeconds = max(0, q.OldestSeconds)
	return q, err
}
