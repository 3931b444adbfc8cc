package audit

import "context"

// Figures count the residents' confirmations: one is due for each reservation ever made.
type Figures struct {
	Booked    int64 `json:"booked"`
	Accepted  int64 `json:"accepted"`  // the provider took the text
	Delivered int64 `json:"delivered"` // the phone has it
	Waiting   int64 `json:"waiting"`   // on its way, inside its deadline
	Explained int64 `json:"explained"` // not accepted, for a reason that is written down
	// Lost is what is none of these.
	Lost int64 `json:"lost"`
	// Duplicates are further copies that the provider took of one text, the failed ones left out.
	Duplicates int64 `json:"duplicates"`
	// Oversold is how many reservations there are above the places of their slots.
	Oversold int64 `json:"oversold"`
}

func (r *run) figures(ctx context.Context) (Figures, error) {
	var f Figures
	row := struct {
		Booked    int64 `db:"booked"`
		Accepted  int64 `db:"accepted"`
		Delivered int64 `db:"delivered"`
		Waiting   int64 `db:"waiting"`
		Explained int64 `db:"explained"`
	}{}
	err := r.tx.Get(ctx, &row, `SELECT COUNT(*) AS booked,
			COUNT(CASE WHEN m.accepted_at IS NOT NULL THEN 1 END) AS accepted,
			COUNT(CASE WHEN m.delivered_at IS NOT NULL THEN 1 END) AS delivered,
			COUNT(CASE WHEN m.accepted_at IS NULL AND (m.state IN ('pending', 'sending', 'unknown') AND m.due_at >= ?
				OR m.id IS NULL AND r.created_at >= ?) THEN 1 END) AS waiting,
			COUNT(CASE WHEN m.accepted_at IS NULL AND m.state IN ('failed', 'held', 'suppressed', 'undelivered')
				AND m.reason <> '' THEN 1 END) AS explained
		FROM reservation r LEFT JOIN message m ON m.reservation_id = r.id AND m.kind = 'confirmation'
			AND m.version = 1 AND m.recipient = 'resident' AND m.resend = 0`,
		r.tx.Unplanned(r.ago(r.opts.OpenWithin), r.ago(r.opts.MessageWithin))...)
	if err != nil {
		return f, err
	}
	f = Figures{Booked: row.Booked, Accepted: row.Accepted, Delivered: row.Delivered, Waiting: row.Waiting, Explained: row.Explained}
	f.Lost = f.Booked - f.Accepted - f.Waiting - f.Explained
	if err := r.tx.Get(ctx, &f.Duplicates, `SELECT CAST(COALESCE(SUM(n - 1), 0) AS bigint) FROM (
			SELECT COUNT(*) AS n FROM attempt a JOIN message m ON m.id = a.message_id
			WHERE a.provider_sid IS NOT NULL AND a.state NOT IN ('failed', 'undelivered')
			AND m.kind = 'confirmation' AND m.recipient = 'resident'
			GROUP BY a.message_id HAVING COUNT(*) > 1) AS copies`); err != nil {
		return f, err
	}
	err = r.tx.Get(ctx, &f.Oversold, `SELECT CAST(COALESCE(SUM(held.n - s.capacity), 0) AS bigint) FROM slot s JOIN (
			SELECT slot_id, COUNT(*) AS n FROM reservation WHERE status = 'confirmed' GROUP BY slot_id) AS held
		ON held.slot_id = s.id WHERE held.n > s.capacity`)
	return f, err
}
