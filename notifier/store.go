package notifier

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

const messageColumns = `id, event_id, reservation_id, version, kind, recipient, resend, state, reason, due_at, lease_token,
	attempts, failures, looks, looked_at, event_at, accepted_at, delivered_at`

// insert writes the messages of events, in the order of event ids, which every process keeps, so that two never wait for
// each other. What is there already stays as it is. It returns how many rows are new.
func insert(ctx context.Context, tx *sqldb.Tx, events []event.Event) (int64, error) {
	if len(events) == 0 {
		return 0, nil
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return 0, err
	}
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b event.Event) int { return strings.Compare(a.ID, b.ID) })
	rows := sqldb.NewRows("src", sqldb.Column{Name: "ordinal", Type: sqldb.Int},
		sqldb.Column{Name: "id", Type: sqldb.UUID}, sqldb.Column{Name: "event_id", Type: sqldb.UUID},
		sqldb.Column{Name: "reservation_id", Type: sqldb.UUID}, sqldb.Column{Name: "version", Type: sqldb.Int},
		sqldb.Column{Name: "kind", Type: sqldb.Text}, sqldb.Column{Name: "recipient", Type: sqldb.Text},
		sqldb.Column{Name: "resend", Type: sqldb.Int}, sqldb.Column{Name: "event_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "now_at", Type: sqldb.Timestamp})
	for _, e := range events {
		recipients := slices.Sorted(slices.Values(e.Recipients))
		for _, r := range slices.Compact(recipients) {
			id, err := uuid.NewV7()
			if err != nil {
				return 0, fmt.Errorf("make a message id: %w", err)
			}
			rows.Add(rows.Len(), id.String(), e.ID, e.ReservationID, e.Version, string(kindOf[e.Type]), string(r), e.Resend,
				sqldb.At(e.Time), sqldb.At(now))
		}
	}
	src, args := tx.Source(rows)
	n, err := tx.Exec(ctx, "WITH "+src+` INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend,
		state, due_at, event_at, created_at, updated_at)
		SELECT id, event_id, reservation_id, version, kind, recipient, resend, 'pending', now_at, event_at, now_at, now_at
		FROM src WHERE true ORDER BY ordinal ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return 0, fmt.Errorf("insert messages: %w", err)
	}
	return n, nil
}

// claim leases up to limit messages in state s that are due: nobody else takes them until lease has passed. A message
// waits while one of an earlier version to the same person is on its way or of unknown outcome: the version decides what a
// person reads last, not the arrival.
func claim(ctx context.Context, tx *sqldb.Tx, s State, token string, limit int, lease time.Duration) ([]*Message, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	var ms []*Message
	err = tx.Select(ctx, &ms, `WITH due AS (
			SELECT m.id AS due_id FROM message m
			WHERE m.state = '`+string(s)+`' AND m.due_at <= ?
			AND (m.state <> 'pending' OR NOT EXISTS (
				SELECT 1 FROM message e WHERE e.reservation_id = m.reservation_id AND e.recipient = m.recipient
				AND e.version < m.version AND e.state IN ('sending', 'unknown')))
			ORDER BY m.due_at, m.id LIMIT ?`+tx.ForUpdateSkipLocked()+`)
		UPDATE message SET lease_token = ?, due_at = ?, updated_at = ? FROM due WHERE id = due_id
		RETURNING `+messageColumns,
		tx.Unplanned(sqldb.At(now), limit, token, sqldb.At(now.Add(lease)), sqldb.At(now))...)
	if err != nil {
		return nil, fmt.Errorf("claim %s messages: %w", s, err)
	}
	slices.SortFunc(ms, func(a, b *Message) int { return a.EventAt.Compare(b.EventAt.Time) })
	return ms, nil
}

// load locks the messages with these ids, in the order of ids, and reads them with their attempts. Ids that do not exist
// are left out.
func load(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]*Message, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		rows.Add(id)
	}
	src, args := tx.Source(rows)
	var ms []*Message
	err := tx.Select(ctx, &ms, "WITH "+src+" SELECT "+messageColumns+
		" FROM message WHERE id IN (SELECT src_id FROM src) ORDER BY id"+tx.ForUpdate(), tx.Unplanned(args...)...)
	if err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	byID := make(map[string]*Message, len(ms))
	var wanted []attemptKey
	for _, m := range ms {
		byID[m.ID] = m
		for n := 1; n <= m.Attempts; n++ {
			wanted = append(wanted, attemptKey{m.ID, n})
		}
	}
	for keys := range slices.Chunk(wanted, attemptPage) {
		if err := loadAttempts(ctx, tx, byID, keys); err != nil {
			return nil, err
		}
	}
	return byID, nil
}

// attemptKey names an attempt.
type attemptKey struct {
	message string
	n       int
}

// attemptPage bounds how many attempts one statement asks for: SQLite takes 32,766 parameters, and a text that a provider
// throttled all night has many attempts.
const attemptPage = 5000

// loadAttempts adds attempts to their messages. They are asked for by both columns of their index: by message_id alone a
// planner without statistics expects hundreds for each message, and reads the whole table instead.
func loadAttempts(ctx context.Context, tx *sqldb.Tx, byID map[string]*Message, keys []attemptKey) error {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID}, sqldb.Column{Name: "src_n", Type: sqldb.Int})
	for _, k := range keys {
		rows.Add(k.message, k.n)
	}
	src, args := tx.Source(rows)
	var as []*Attempt
	err := tx.Select(ctx, &as, "WITH "+src+` SELECT token, message_id, n, state, body_hash, provider_sid, http_status, error_code,
		detail, started_at, unknown_at, finished_at
		FROM src JOIN attempt ON message_id = src_id AND n = src_n ORDER BY message_id, n`, tx.Unplanned(args...)...)
	if err != nil {
		return fmt.Errorf("load attempts: %w", err)
	}
	for _, a := range as {
		if m := byID[a.MessageID]; m != nil {
			m.log = append(m.log, a)
		}
	}
	return nil
}

// save writes what changed of messages that load locked.
func save(ctx context.Context, tx *sqldb.Tx, ms map[string]*Message) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	var changed []*Message
	var fresh, moved []*Attempt
	for _, m := range ms {
		if m.changed {
			changed = append(changed, m)
		}
		for _, a := range m.log {
			if a.isNew {
				fresh = append(fresh, a)
			} else if a.changed {
				moved = append(moved, a)
			}
		}
	}
	if err := updateMessages(ctx, tx, changed, now); err != nil {
		return err
	}
	if err := insertAttempts(ctx, tx, fresh); err != nil {
		return err
	}
	return updateAttempts(ctx, tx, moved)
}

func updateMessages(ctx context.Context, tx *sqldb.Tx, ms []*Message, now time.Time) error {
	if len(ms) == 0 {
		return nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID},
		sqldb.Column{Name: "new_state", Type: sqldb.Text}, sqldb.Column{Name: "new_reason", Type: sqldb.Text},
		sqldb.Column{Name: "new_due_at", Type: sqldb.Timestamp}, sqldb.Column{Name: "new_lease_token", Type: sqldb.Text},
		sqldb.Column{Name: "new_attempts", Type: sqldb.Int}, sqldb.Column{Name: "new_failures", Type: sqldb.Int},
		sqldb.Column{Name: "new_looks", Type: sqldb.Int}, sqldb.Column{Name: "new_looked_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "new_accepted_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "new_delivered_at", Type: sqldb.Timestamp})
	for _, m := range ms {
		rows.Add(m.ID, string(m.State), m.Reason, m.DueAt, m.LeaseToken, m.Attempts, m.Failures, m.Looks, m.LookedAt, m.AcceptedAt,
			m.DeliveredAt)
	}
	src, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+src+` UPDATE message SET state = new_state, reason = new_reason, due_at = new_due_at,
		lease_token = new_lease_token, attempts = new_attempts, failures = new_failures, looks = new_looks, looked_at = new_looked_at,
		accepted_at = new_accepted_at, delivered_at = new_delivered_at, updated_at = ?
		FROM src WHERE id = src_id`, tx.Unplanned(append(args, sqldb.At(now))...)...)
	if err != nil {
		return fmt.Errorf("update messages: %w", err)
	}
	return nil
}

func insertAttempts(ctx context.Context, tx *sqldb.Tx, as []*Attempt) error {
	if len(as) == 0 {
		return nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "token", Type: sqldb.Text},
		sqldb.Column{Name: "message_id", Type: sqldb.UUID}, sqldb.Column{Name: "n", Type: sqldb.Int},
		sqldb.Column{Name: "state", Type: sqldb.Text}, sqldb.Column{Name: "body_hash", Type: sqldb.Bytes},
		sqldb.Column{Name: "started_at", Type: sqldb.Timestamp})
	for _, a := range as {
		rows.Add(a.Token, a.MessageID, a.N, string(a.State), a.BodyHash, a.StartedAt)
	}
	src, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+src+` INSERT INTO attempt (token, message_id, n, state, body_hash, started_at)
		SELECT token, message_id, n, state, body_hash, started_at FROM src`, args...)
	if err != nil {
		return fmt.Errorf("insert attempts: %w", err)
	}
	return nil
}

func updateAttempts(ctx context.Context, tx *sqldb.Tx, as []*Attempt) error {
	if len(as) == 0 {
		return nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_token", Type: sqldb.Text},
		sqldb.Column{Name: "new_state", Type: sqldb.Text}, sqldb.Column{Name: "new_sid", Type: sqldb.Text},
		sqldb.Column{Name: "new_http_status", Type: sqldb.Int}, sqldb.Column{Name: "new_error_code", Type: sqldb.Int},
		sqldb.Column{Name: "new_detail", Type: sqldb.Text}, sqldb.Column{Name: "new_unknown_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "new_finished_at", Type: sqldb.Timestamp})
	for _, a := range as {
		rows.Add(a.Token, string(a.State), a.SID, a.HTTPStatus, a.ErrorCode, a.Detail, a.UnknownAt, a.FinishedAt)
	}
	src, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+src+` UPDATE attempt SET state = new_state, provider_sid = new_sid,
		http_status = new_http_status, error_code = new_error_code, detail = new_detail, unknown_at = new_unknown_at,
		finished_at = new_finished_at FROM src WHERE token = src_token`, tx.Unplanned(args...)...)
	if err != nil {
		return fmt.Errorf("update attempts: %w", err)
	}
	return nil
}

// owners tells which attempts hold these SIDs, and which messages the attempts with these tokens belong to.
func owners(ctx context.Context, tx *sqldb.Tx, tokens, sids []string) (bySID, byToken map[string]string, err error) {
	type row struct {
		Key   string `db:"key"`
		Value string `db:"value"`
	}
	ask := func(keys []string, query string) (map[string]string, error) {
		found := make(map[string]string, len(keys))
		if len(keys) == 0 {
			return found, nil
		}
		rows := sqldb.NewRows("src", sqldb.Column{Name: "src_key", Type: sqldb.Text})
		for _, k := range keys {
			rows.Add(k)
		}
		src, args := tx.Source(rows)
		var got []row
		if err := tx.Select(ctx, &got, "WITH "+src+" "+query, tx.Unplanned(args...)...); err != nil {
			return nil, fmt.Errorf("find attempts: %w", err)
		}
		for _, r := range got {
			found[r.Key] = r.Value
		}
		return found, nil
	}
	if bySID, err = ask(sids, `SELECT provider_sid AS key, token AS value FROM attempt
		WHERE provider_sid IN (SELECT src_key FROM src)`); err != nil {
		return nil, nil, err
	}
	byToken, err = ask(tokens, `SELECT token AS key, CAST(message_id AS text) AS value FROM attempt
		WHERE token IN (SELECT src_key FROM src)`)
	return bySID, byToken, err
}

// park keeps a record that the intake cannot use, with its reason. A replay is the same row.
func park(ctx context.Context, tx *sqldb.Tx, topic string, partition int, offset int64, headers string, body []byte, reason string) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s/%d/%d\n%s\n", topic, partition, offset, headers)
	h.Write(body)
	if body == nil {
		body = []byte{}
	}
	_, err = tx.Exec(ctx, `INSERT INTO parked_event (id, topic, topic_partition, topic_offset, headers, body, reason, parked_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		hex.EncodeToString(h.Sum(nil)), topic, partition, offset, headers, body, reason, sqldb.At(now))
	if err != nil {
		return fmt.Errorf("park an event: %w", err)
	}
	return nil
}

// sweepPosition reads and locks the sweeper's row, making it when there is none.
func sweepPosition(ctx context.Context, tx *sqldb.Tx) (string, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO sweeper (id, position, updated_at) VALUES (1, '', ?) ON CONFLICT DO NOTHING`,
		sqldb.At(now)); err != nil {
		return "", fmt.Errorf("make the sweeper's row: %w", err)
	}
	var position string
	err = tx.Get(ctx, &position, `SELECT position FROM sweeper WHERE id = 1`+tx.ForUpdateSkipLocked())
	if errors.Is(err, sql.ErrNoRows) {
		return "", errBusy
	}
	return position, err
}

// errBusy: another process does this work right now.
var errBusy = errors.New("another process is at it")

// newToken makes an attempt's or a lease's token: 128 random bits.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
