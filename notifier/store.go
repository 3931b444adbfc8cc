package notifier

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
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

const messageColumns = `m.id, m.event_id, m.reservation_id, m.version, m.kind, m.recipient, m.resend, m.state, m.reason,
	m.attempts, m.failures, m.looks, m.looked_at, m.polls, m.event_at, m.accepted_at, m.delivered_at`

const attemptColumns = `a.token, a.message_id, a.n, a.state, a.body_hash, a.provider_sid, a.http_status, a.error_code, a.detail,
	a.started_at, a.unknown_at, a.finished_at`

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
		sqldb.Column{Name: "now_at", Type: sqldb.Timestamp}, sqldb.Column{Name: "priority", Type: sqldb.Int})
	again := false
	for _, e := range events {
		again = again || e.Resend > 0
		recipients := slices.Sorted(slices.Values(e.Recipients))
		for _, r := range slices.Compact(recipients) {
			id, err := uuid.NewV7()
			if err != nil {
				return 0, fmt.Errorf("make a message id: %w", err)
			}
			m := Message{Kind: kindOf[e.Type], Resend: e.Resend}
			rows.Add(rows.Len(), id.String(), e.ID, e.ReservationID, e.Version, string(m.Kind), string(r), e.Resend,
				sqldb.At(e.Time), sqldb.At(now), m.priority())
		}
	}
	src, args := tx.Source(rows)
	n, err := tx.Exec(ctx, "WITH "+src+` INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend,
		state, event_at, created_at, updated_at)
		SELECT id, event_id, reservation_id, version, kind, recipient, resend, 'pending', event_at, now_at, now_at
		FROM src WHERE true ORDER BY ordinal ON CONFLICT DO NOTHING`, args...)
	if err != nil || n == 0 {
		return 0, wrapped("insert messages", err)
	}
	// Ids are fresh: those that are in the table are the ones that were inserted.
	_, err = tx.Exec(ctx, "WITH "+src+` INSERT INTO message_queue (message_id, job, priority, due_at, since)
		SELECT src.id, 'send', src.priority, src.now_at, src.event_at FROM src JOIN message m ON m.id = src.id`,
		args...)
	if err != nil || !again {
		return n, wrapped("queue messages", err)
	}
	return n, tidy(ctx, tx, src, args)
}

// taken adds to there the events that have messages.
func taken(ctx context.Context, tx *sqldb.Tx, eventIDs []string, there map[string]bool) error {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, id := range eventIDs {
		rows.Add(id)
	}
	src, args := tx.Source(rows)
	var found []string
	if err := tx.Select(ctx, &found, "WITH "+src+` SELECT DISTINCT CAST(m.event_id AS text) FROM message m
		WHERE m.event_id IN (SELECT src_id FROM src)`, args...); err != nil {
		return fmt.Errorf("look for the messages of events: %w", err)
	}
	for _, id := range found {
		there[id] = true
	}
	return nil
}

// tidy ends what the older texts of resends still wait for: nobody has to decide about them any more, and a further attempt
// of one that did not arrive would be a second text.
func tidy(ctx context.Context, tx *sqldb.Tx, src string, args []any) error {
	const older = ` (SELECT m.id FROM src JOIN message m ON m.reservation_id = src.reservation_id AND m.kind = src.kind
		AND m.version = src.version AND m.recipient = src.recipient AND m.resend < src.resend
		WHERE m.state IN ('undelivered', 'failed', 'held'))`
	if _, err := tx.Exec(ctx, "WITH "+src+` UPDATE message SET state = 'failed' WHERE state = 'undelivered' AND id IN`+older, args...); err != nil {
		return fmt.Errorf("end what is sent again: %w", err)
	}
	_, err := tx.Exec(ctx, "WITH "+src+` DELETE FROM message_queue WHERE job IN ('person', 'send') AND message_id IN`+older, args...)
	return wrapped("take what is sent again off the list", err)
}

// wrapped says what failed, nil when nothing did.
func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
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
		" FROM message m WHERE m.id IN (SELECT src_id FROM src) ORDER BY m.id"+tx.ForUpdate(), args...)
	if err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	return withAttempts(ctx, tx, ms)
}

// withAttempts reads the attempts of messages that are locked.
func withAttempts(ctx context.Context, tx *sqldb.Tx, ms []*Message) (map[string]*Message, error) {
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
	err := tx.Select(ctx, &as, "WITH "+src+` SELECT `+attemptColumns+`
		FROM src JOIN attempt a ON a.message_id = src_id AND a.n = src_n ORDER BY a.message_id, a.n`, args...)
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

// undecided are the attempts of which nothing is known yet, in flight or lost, of all texts of the messages' reservations: a
// text that was asked for again says the same as the first one.
func undecided(ctx context.Context, tx *sqldb.Tx, ms []*Message) (map[string][]*Attempt, error) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	seen := map[string]bool{}
	for _, m := range ms {
		if !seen[m.ReservationID] {
			seen[m.ReservationID] = true
			rows.Add(m.ReservationID)
		}
	}
	src, args := tx.Source(rows)
	var found []struct {
		Attempt
		ReservationID string `db:"reservation_id"`
	}
	err := tx.Select(ctx, &found, "WITH "+src+` SELECT `+attemptColumns+`, CAST(m.reservation_id AS text) AS reservation_id
		FROM src JOIN message m ON m.reservation_id = src_id JOIN attempt a ON a.message_id = m.id
		WHERE a.state IN ('open', 'unknown')`, args...)
	if err != nil {
		return nil, fmt.Errorf("load attempts of which nothing is known: %w", err)
	}
	out := map[string][]*Attempt{}
	for i := range found {
		out[found[i].ReservationID] = append(out[found[i].ReservationID], &found[i].Attempt)
	}
	return out, nil
}

// save writes what changed of messages that load locked.
func save(ctx context.Context, tx *sqldb.Tx, ms map[string]*Message) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	var changed []*Message
	var fresh, moved []*Attempt
	all := inOrder(ms)
	for _, m := range all {
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
	if err := savePlans(ctx, tx, all); err != nil {
		return err
	}
	if err := insertAttempts(ctx, tx, fresh); err != nil {
		return err
	}
	if err := updateAttempts(ctx, tx, moved); err != nil {
		return err
	}
	return holdTexts(ctx, tx, moved)
}

func updateMessages(ctx context.Context, tx *sqldb.Tx, ms []*Message, now time.Time) error {
	if len(ms) == 0 {
		return nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID},
		sqldb.Column{Name: "new_state", Type: sqldb.Text}, sqldb.Column{Name: "new_reason", Type: sqldb.Text},
		sqldb.Column{Name: "new_attempts", Type: sqldb.Int}, sqldb.Column{Name: "new_failures", Type: sqldb.Int},
		sqldb.Column{Name: "new_looks", Type: sqldb.Int}, sqldb.Column{Name: "new_looked_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "new_polls", Type: sqldb.Int}, sqldb.Column{Name: "new_accepted_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "new_delivered_at", Type: sqldb.Timestamp})
	for _, m := range ms {
		rows.Add(m.ID, string(m.State), m.Reason, m.Attempts, m.Failures, m.Looks, m.LookedAt, m.Polls, m.AcceptedAt, m.DeliveredAt)
	}
	src, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+src+` UPDATE message SET state = new_state, reason = new_reason, attempts = new_attempts,
		failures = new_failures, looks = new_looks, looked_at = new_looked_at, polls = new_polls,
		accepted_at = new_accepted_at, delivered_at = new_delivered_at, updated_at = ?
		FROM src WHERE id = src_id`, append(args, sqldb.At(now))...)
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
		finished_at = new_finished_at FROM src WHERE token = src_token`, args...)
	if err != nil {
		return fmt.Errorf("update attempts: %w", err)
	}
	return nil
}

// holdTexts says of the provider's texts that became known which attempts hold them. One that another attempt holds is refused.
func holdTexts(ctx context.Context, tx *sqldb.Tx, as []*Attempt) error {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "provider_sid", Type: sqldb.Text}, sqldb.Column{Name: "attempt_token", Type: sqldb.Text})
	for _, a := range as {
		if a.sidIsNew {
			rows.Add(a.SID, a.Token)
		}
	}
	if rows.Len() == 0 {
		return nil
	}
	src, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+src+` INSERT INTO provider_text (provider_sid, attempt_token)
		SELECT provider_sid, attempt_token FROM src`, args...)
	return wrapped("hold the provider's texts", err)
}

// owner is an attempt that was looked for.
type owner struct {
	Token     string       `db:"token"`
	SID       *string      `db:"provider_sid"`
	State     AttemptState `db:"state"`
	MessageID string       `db:"message_id"`
}

// took says whether it is recorded that the provider has taken the attempt as the text sid, so that to hear so again changes
// nothing: of a text that was taken nobody takes that back.
func (o owner) took(sid string) bool {
	return o.SID != nil && *o.SID == sid && o.State.taken()
}

// owners tells which attempts hold these SIDs, and which attempts have these tokens. An SID is asked for by itself only when it is
// not that of an attempt that was asked for: nearly always it is.
func owners(ctx context.Context, tx *sqldb.Tx, tokens, sids []string) (bySID map[string]string, byToken map[string]owner, err error) {
	bySID, byToken = make(map[string]string, len(sids)), make(map[string]owner, len(tokens))
	keep := func(found []owner) {
		for _, f := range found {
			byToken[f.Token] = f
			if f.SID != nil {
				bySID[*f.SID] = f.Token
			}
		}
	}
	found, err := findOwners(ctx, tx, tokens, `attempt a ON a.token = src_key`)
	if err != nil {
		return nil, nil, err
	}
	keep(found)
	var others []string
	for _, sid := range sids {
		if bySID[sid] == "" {
			others = append(others, sid)
		}
	}
	if found, err = findOwners(ctx, tx, others, `provider_text p ON p.provider_sid = src_key JOIN attempt a ON a.token = p.attempt_token`); err != nil {
		return nil, nil, err
	}
	keep(found)
	return bySID, byToken, nil
}

// findOwners reads the attempts a that keys, called src_key, are joined to.
func findOwners(ctx context.Context, tx *sqldb.Tx, keys []string, join string) (found []owner, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_key", Type: sqldb.Text})
	for _, k := range keys {
		rows.Add(k)
	}
	src, args := tx.Source(rows)
	err = tx.Select(ctx, &found, "WITH "+src+` SELECT a.token, a.provider_sid, a.state, CAST(a.message_id AS text) AS message_id FROM src JOIN `+join, args...)
	return found, wrapped("find attempts", err)
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

// newToken makes an attempt's token: the second, and 96 random bits, which nobody guesses. Tokens of one time are neighbours in
// the indexes of attempts and receipts, which then grow at their end.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[4:]) // never fails
	binary.BigEndian.PutUint32(b[:4], uint32(time.Now().Unix()))
	return hex.EncodeToString(b[:])
}
