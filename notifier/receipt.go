package notifier

import (
	"context"
	"fmt"
	"time"

	"ansim/schema/sqldb"
)

// receiptRows gathers receipts for one insert.
type receiptRows struct{ rows *sqldb.Rows }

func newReceiptRows() receiptRows {
	return receiptRows{sqldb.NewRows("src", sqldb.Column{Name: "attempt_token", Type: sqldb.Text},
		sqldb.Column{Name: "provider_sid", Type: sqldb.Text}, sqldb.Column{Name: "status", Type: sqldb.Text},
		sqldb.Column{Name: "error_code", Type: sqldb.Int}, sqldb.Column{Name: "source", Type: sqldb.Text},
		sqldb.Column{Name: "received_at", Type: sqldb.Timestamp})}
}

func (r receiptRows) add(rc Receipt, now time.Time) {
	source := "callback"
	if rc.FromList {
		source = "list"
	}
	r.rows.Add(rc.Token, rc.SID, rc.Status, rc.ErrorCode, source, sqldb.At(now))
}

// insert writes the receipts; one that is there already, from a replay or from the other source, stays as it is.
func (r receiptRows) insert(ctx context.Context, tx *sqldb.Tx) error {
	if r.rows.Len() == 0 {
		return nil
	}
	src, args := tx.Source(r.rows)
	_, err := tx.Exec(ctx, "WITH "+src+` INSERT INTO receipt (attempt_token, provider_sid, status, error_code, source, received_at)
		SELECT attempt_token, provider_sid, status, error_code, source, received_at FROM src WHERE true
		ORDER BY attempt_token, provider_sid, status ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("insert receipts: %w", err)
	}
	return nil
}
