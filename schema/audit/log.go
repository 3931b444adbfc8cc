package audit

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"ansim/schema/sqldb"
)

// ErrLog is wrapped when the provider's log is not what it should be; the message names the line and quotes nothing of it.
var ErrLog = errors.New("unreadable provider's log")

// entry is what we read of a line: a text that the network took.
type entry struct {
	SID   string    `json:"sid"`
	To    string    `json:"to"`
	Body  string    `json:"body"`
	Token string    `json:"token"` // of the attempt, from its callback's URL
	At    time.Time `json:"at"`
}

// logBatch is how many lines are looked up in one statement.
const logBatch = 500

// logged is what the log showed so far. The two sets grow with the log, by about 50 bytes a text; the tables are not loaded.
type logged struct {
	sids   map[[16]byte]struct{}
	copies map[[16]byte]int // accepted texts by message
	i2, i6 Invariant
	i16    Invariant
}

// checkLog compares what the provider took with what we recorded. What does not fit only because the log and the snapshot are
// not of the same instant is open.
func (r *run) checkLog(ctx context.Context, log io.Reader) ([]Invariant, error) {
	l := logged{sids: map[[16]byte]struct{}{}, copies: map[[16]byte]int{},
		i2:  Invariant{ID: "I2-log", Sentence: "the provider took no text twice, but for one whose first answer was lost or that was not delivered"},
		i6:  Invariant{ID: "I6-log", Sentence: "each text that the provider took says what its attempt said, and went to its reservation's number"},
		i16: Invariant{ID: "I16-log", Sentence: "the provider took the texts that we count as accepted, and no other"},
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	var batch []entry
	for n := 1; lines.Scan(); n++ {
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.SID == "" {
			return nil, fmt.Errorf("%w: line %d", ErrLog, n)
		}
		if batch = append(batch, e); len(batch) == logBatch {
			if err := r.compare(ctx, &l, batch); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLog, err)
	}
	if err := r.compare(ctx, &l, batch); err != nil {
		return nil, err
	}
	if err := r.unlogged(ctx, &l); err != nil {
		return nil, err
	}
	return []Invariant{l.i2, l.i6, l.i16}, nil
}

// match is a log line with the attempt that its token or its SID names.
type match struct {
	N         int     `db:"n"`
	Message   *string `db:"message_id"`
	State     *string `db:"state"`
	SID       *string `db:"provider_sid"`
	BodyHash  []byte  `db:"body_hash"`
	WrongTo   int     `db:"wrong_to"`
	Explained int     `db:"explained"` // an earlier attempt of the message was unknown, or was not delivered
	Message2  *string `db:"message_state"`
}

func (r *run) compare(ctx context.Context, l *logged, batch []entry) error {
	if len(batch) == 0 {
		return nil
	}
	rows := sqldb.NewRows("line", sqldb.Column{Name: "n", Type: sqldb.Int}, sqldb.Column{Name: "sid", Type: sqldb.Text},
		sqldb.Column{Name: "token", Type: sqldb.Text}, sqldb.Column{Name: "phone", Type: sqldb.Text})
	for i, e := range batch {
		rows.Add(i, e.SID, e.Token, e.To)
	}
	src, args := r.tx.Source(rows)
	var found []match
	err := r.tx.Select(ctx, &found, "WITH "+src+` SELECT line.n, CAST(a.message_id AS text) AS message_id, a.state, a.provider_sid,
			a.body_hash, m.state AS message_state,
			CASE WHEN r.version = m.version AND line.phone <> COALESCE(
				CASE m.recipient WHEN 'booker' THEN r.booker_phone ELSE r.phone END, '') THEN 1 ELSE 0 END AS wrong_to,
			CASE WHEN EXISTS (SELECT 1 FROM attempt e WHERE e.message_id = a.message_id AND e.token <> a.token
				AND (e.unknown_at IS NOT NULL OR e.state IN ('failed', 'undelivered'))) OR a.unknown_at IS NOT NULL
				THEN 1 ELSE 0 END AS explained
		FROM line LEFT JOIN attempt a ON a.token = line.token
		LEFT JOIN message m ON m.id = a.message_id LEFT JOIN reservation r ON r.id = m.reservation_id
		ORDER BY line.n`, r.tx.Unplanned(args...)...)
	if err != nil {
		return err
	}
	if len(found) != len(batch) {
		return fmt.Errorf("%d lines matched %d rows", len(batch), len(found))
	}
	for i, e := range batch {
		r.line(l, e, found[i])
	}
	return nil
}

func (r *run) line(l *logged, e entry, m match) {
	l.i2.Checked++
	l.i16.Checked++
	if key, ok := sidKey(e.SID); ok {
		l.sids[key] = struct{}{}
	}
	wrong := func(finding string) { l.i16.Violations++; l.i16.example(finding, e.SID) }
	// An attempt is committed before its request: only a text that is younger than the snapshot may be without.
	young := e.At.After(r.now.Add(-r.opts.Slack))
	if m.Message == nil {
		if young {
			l.i16.Open++
			return
		}
		wrong("text without an attempt")
		return
	}
	l.i6.Checked++
	if hash := sha256.Sum256([]byte(e.Body)); string(hash[:]) != string(m.BodyHash) {
		l.i6.Violations++
		l.i6.example("text that says something else", e.SID)
	}
	if m.WrongTo == 1 {
		l.i6.Violations++
		l.i6.example("text that went to another number", e.SID)
	}
	if id, err := uuid.Parse(*m.Message); err == nil {
		if l.copies[id]++; l.copies[id] > 1 && m.Explained == 0 {
			l.i2.Violations++
			l.i2.example("text that was taken twice", *m.Message)
		}
	}
	switch {
	case m.SID != nil && *m.SID == e.SID:
	case m.SID != nil:
		wrong("second text of one attempt")
	case *m.State == "open" || *m.State == "unknown":
		// We know that we do not know: it is being looked up, a person decides, or an older copy stands for it.
		if m.Message2 != nil && (*m.Message2 == "sending" || *m.Message2 == "unknown" || *m.Message2 == "pending") {
			l.i16.Open++
		}
	default:
		wrong("text that we count as " + strings.ReplaceAll(*m.State, "_", " "))
	}
}

// unlogged looks for texts that we count as accepted and the provider never took.
func (r *run) unlogged(ctx context.Context, l *logged) error {
	rows, err := r.tx.Query(ctx, `SELECT a.token, a.provider_sid, a.started_at FROM attempt a WHERE a.provider_sid IS NOT NULL`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var token, sid string
		var started sqldb.Time
		if err := rows.Scan(&token, &sid, &started); err != nil {
			return err
		}
		key, ok := sidKey(sid)
		if _, taken := l.sids[key]; ok && taken {
			continue
		}
		if !started.Before(r.now.Add(-r.opts.MessageWithin)) {
			l.i16.Open++ // the log may be older than the snapshot
			continue
		}
		l.i16.Violations++
		l.i16.example("accepted text that the provider does not know", token)
	}
	return rows.Err()
}

// sidKey is the 16 bytes of a SID, to keep the set small.
func sidKey(sid string) (key [16]byte, ok bool) {
	if len(sid) != 34 {
		return key, false
	}
	_, err := hex.Decode(key[:], []byte(sid[2:]))
	return key, err == nil
}
