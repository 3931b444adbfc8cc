package notifier

import (
	"context"
	"fmt"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// TextStory is a text with everything that was done for it.
type TextStory struct {
	ID        string          `db:"id"`
	Version   int             `db:"version"`
	Kind      Kind            `db:"kind"`
	Recipient event.Recipient `db:"recipient"`
	Resend    int             `db:"resend"`
	State     State           `db:"state"`
	Reason    string          `db:"reason"`
	CreatedAt sqldb.Time      `db:"created_at"`
	UpdatedAt sqldb.Time      `db:"updated_at"`
	Attempts  []AttemptStory
}

// AttemptStory is one request to the provider.
type AttemptStory struct {
	Token      string       `db:"token"`
	MessageID  string       `db:"message_id"`
	N          int          `db:"n"`
	State      AttemptState `db:"state"`
	ErrorCode  int          `db:"error_code"`
	StartedAt  sqldb.Time   `db:"started_at"`
	UnknownAt  *sqldb.Time  `db:"unknown_at"`
	FinishedAt *sqldb.Time  `db:"finished_at"`
	Receipts   []ReceiptStory
}

// Taken says that the provider has taken the text.
func (a AttemptStory) Taken() bool { return a.State.taken() }

// ReceiptStory is what the provider said of an attempt after, or instead of, its answer.
type ReceiptStory struct {
	Token      string     `db:"attempt_token"`
	Status     string     `db:"status"` // the provider's word
	ErrorCode  int        `db:"error_code"`
	Source     string     `db:"source"` // callback or list
	ReceivedAt sqldb.Time `db:"received_at"`
}

// ReadStory reads, within tx, what was done for the texts of a reservation, each in the order in which it was.
func ReadStory(ctx context.Context, tx *sqldb.Tx, reservationID string) ([]TextStory, error) {
	var texts []TextStory
	if err := tx.Select(ctx, &texts, `SELECT id, version, kind, recipient, resend, state, reason, created_at, updated_at FROM message
		WHERE reservation_id = ? ORDER BY version, resend, recipient`, reservationID); err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	var attempts []AttemptStory
	if err := tx.Select(ctx, &attempts, `SELECT a.token, a.message_id, a.n, a.state, a.error_code, a.started_at, a.unknown_at, a.finished_at
		FROM message m JOIN attempt a ON a.message_id = m.id WHERE m.reservation_id = ? ORDER BY a.message_id, a.n`, reservationID); err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	var receipts []ReceiptStory
	if err := tx.Select(ctx, &receipts, `SELECT r.attempt_token, r.status, r.error_code, r.source, r.received_at
		FROM message m JOIN attempt a ON a.message_id = m.id JOIN receipt r ON r.attempt_token = a.token
		WHERE m.reservation_id = ? ORDER BY r.received_at, r.status`, reservationID); err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	for i := range attempts {
		for _, r := range receipts {
			if r.Token == attempts[i].Token {
				attempts[i].Receipts = append(attempts[i].Receipts, r)
			}
		}
	}
	for i := range texts {
		for _, a := range attempts {
			if a.MessageID == texts[i].ID {
				texts[i].Attempts = append(texts[i].Attempts, a)
			}
		}
	}
	return texts, nil
}

// ReasonOfCode is the reason of a text that the provider gave this error code for, "" for 0.
func ReasonOfCode(code int) string {
	if code == 0 {
		return ""
	}
	return errorReason(code)
}
