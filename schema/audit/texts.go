package audit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// account is what somebody else says that the network took.
type account struct {
	name  string    // after the dash of its invariants' ids
	who   string    // in sentences
	texts *sorter   // by SID
	since time.Time // texts taken earlier are not in it; zero when it is whole
	lag   time.Duration
	key   hasher
}

// hasher makes what is personal comparable without keeping it: a hash with a key that this process alone has, and forgets.
type hasher []byte

func newHasher() hasher {
	h := make(hasher, 32)
	_, _ = rand.Read(h) // never fails
	return h
}

func (h hasher) sum(parts ...string) (k key) {
	m := hmac.New(sha256.New, h)
	for _, p := range parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		m.Write(n[:])
		m.Write([]byte(p))
	}
	copy(k[:], m.Sum(nil))
	return k
}

// short is the hash of one value, 0 for none.
func (h hasher) short(s string) uint64 {
	if s == "" {
		return 0
	}
	k := h.sum(s)
	return binary.LittleEndian.Uint64(k[:])
}

// taken makes a record of a text of somebody else's account.
func (h hasher) taken(sid, token, to, body string, at time.Time) record {
	r := record{Key: sidKey(sid), Side: theirs, At: at.UnixMicro(), Body: bodyKey(sha256.Sum256([]byte(body))),
		To: h.short(to), Code: h.short(codeIn(body)), When: h.short(whenIn(body)), Words: wordsIn(body)}
	if raw, err := hex.DecodeString(token); err == nil && len(raw) == len(r.ID) {
		r.ID = key(raw)
	}
	return r
}

func bodyKey(sum [32]byte) (k key) { copy(k[:], sum[:]); return k }

// sidKey is the 16 bytes of a SID; of what has another form, a hash.
func sidKey(sid string) (k key) {
	if len(sid) == 34 && sid[:2] == "SM" {
		if _, err := hex.Decode(k[:], []byte(sid[2:])); err == nil {
			return k
		}
	}
	sum := sha256.Sum256([]byte(sid))
	copy(k[:], sum[:])
	return k
}

// showSID is a SID of our form again.
func showSID(k key) string { return "SM" + hex.EncodeToString(k[:]) }

// What a text has to say, from the design's section 7: the word of its kind, when the appointment is, the code.
var (
	kindWords = [][]string{{"예약완료", "Booked"}, {"예약변경", "Changed"}, {"예약취소", "Cancelled"}, {"더 보내지 않습니다", "no more texts"}}
	kindBits  = map[string]uint8{"confirmation": 1, "change": 2, "cancellation": 4, "former": 8}
	codeForm  = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b`)
	// A name cannot begin a line, so it cannot look like a time.
	koreanWhen  = regexp.MustCompile(`(?m)^([0-9]{1,2}/[0-9]{1,2})\([일월화수목금토]\)([0-9]{2}:[0-9]{2})`)
	englishWhen = regexp.MustCompile(`(?m)^[A-Z][a-z]{2} ([0-9]{1,2} [A-Z][a-z]{2}) ([0-9]{2}:[0-9]{2})`)
)

// wordsIn are the kinds whose word stands in a body. A name or a site may be such a word, too.
func wordsIn(body string) (bits uint8) {
	for i, words := range kindWords {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(body, w) }) {
			bits |= 1 << i
		}
	}
	return bits
}

// codeIn is the code in a body, the last thing of its form.
func codeIn(body string) string {
	if all := codeForm.FindAllString(body, -1); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// whenIn is the time that a body tells, in the form of whenOf.
func whenIn(body string) string {
	for _, form := range []*regexp.Regexp{koreanWhen, englishWhen} {
		if m := form.FindStringSubmatch(body); m != nil {
			return m[1] + " " + m[2]
		}
	}
	return ""
}

// whenOf is how a text in this language tells a time.
func whenOf(t time.Time, language string) string {
	if language == "ko" {
		return t.Format("1/2 15:04")
	}
	return t.Format("2 Jan 15:04")
}

// nobody is the number of a person whom the reservation does not know.
const nobody = 1

// attemptRow is an attempt with what its text has to say.
type attemptRow struct {
	Token     string      `db:"token"`
	Message   string      `db:"message_id"`
	State     string      `db:"state"`
	SID       *string     `db:"provider_sid"`
	BodyHash  []byte      `db:"body_hash"`
	StartedAt sqldb.Time  `db:"started_at"`
	UnknownAt *sqldb.Time `db:"unknown_at"`
	Moving    int         `db:"moving"`
	Kind      string      `db:"kind"`
	Known     *int        `db:"known"` // 1: what the message's version said is known
	Code      *string     `db:"code"`
	Language  *string     `db:"language"`
	Phone     *string     `db:"phone"`
	StartsAt  *sqldb.Time `db:"starts_at"`
	Zone      *string     `db:"time_zone"`
	AppliedAt *sqldb.Time `db:"applied_at"`
	Failed    int         `db:"failed"` // 1: a receipt said once that it was not delivered
}

const attemptRows = `SELECT a.token, CAST(a.message_id AS text) AS message_id, a.state, a.provider_sid, a.body_hash, a.started_at, a.unknown_at,
		CASE WHEN m.state IN ('pending', 'sending', 'unknown') THEN 1 ELSE 0 END AS moving,
		CASE m.recipient WHEN 'former' THEN 'former' ELSE m.kind END AS kind, CASE WHEN r.version = m.version OR h.version IS NOT NULL THEN 1 ELSE 0 END AS known, r.code, COALESCE(h.language, r.language) AS language,
		CASE m.recipient WHEN 'booker' THEN r.booker_phone WHEN 'former' THEN b.phone ELSE COALESCE(h.phone, r.phone) END AS phone,
		CASE WHEN m.recipient <> 'former' THEN COALESCE(h.starts_at, s.starts_at) END AS starts_at, p.time_zone, p.applied_at,
		CASE WHEN f.attempt_token IS NULL THEN 0 ELSE 1 END AS failed
	FROM attempt a JOIN message m ON m.id = a.message_id LEFT JOIN reservation r ON r.id = m.reservation_id
	LEFT JOIN reservation_history h ON h.reservation_id = m.reservation_id AND h.version = m.version
	LEFT JOIN reservation_history b ON m.recipient = 'former' AND b.reservation_id = m.reservation_id AND b.version = m.version - 1
	LEFT JOIN slot s ON s.id = r.slot_id LEFT JOIN programme p ON p.id = r.programme_id
	LEFT JOIN (SELECT DISTINCT attempt_token FROM receipt WHERE status IN ('failed', 'undelivered', 'canceled')) AS f
		ON f.attempt_token = a.token `

// recorded makes a record of an attempt. Number and time are those of the message's version, if that was kept; the time is known
// only if the programme has not been changed since.
func (h hasher) recorded(a attemptRow, zones map[string]*time.Location) record {
	r := record{Side: ours, At: a.StartedAt.UnixMicro(), State: uint8(slices.Index(ranks, a.State)), Words: kindBits[a.Kind]}
	if raw, err := hex.DecodeString(a.Token); err == nil && len(raw) == len(r.ID) {
		r.ID = key(raw)
	}
	if raw, err := hex.DecodeString(strings.ReplaceAll(a.Message, "-", "")); err == nil && len(raw) == len(r.Owner) {
		r.Owner = key(raw)
	}
	copy(r.Body[:], a.BodyHash)
	if a.UnknownAt != nil || a.Failed == 1 || a.State == "open" {
		r.Flags |= lost
	}
	if a.Moving == 1 {
		r.Flags |= moving
	}
	if a.Code != nil && len(*a.Code) == 10 {
		r.Code = h.short((*a.Code)[:5] + "-" + (*a.Code)[5:])
	}
	if a.Known == nil || *a.Known == 0 {
		return r
	}
	if r.To = nobody; a.Phone != nil {
		r.To = h.short(*a.Phone)
	}
	if a.StartsAt == nil || a.Zone == nil || a.Language == nil || !a.AppliedAt.Before(a.StartedAt.Time) {
		return r
	}
	zone, ok := zones[*a.Zone]
	if !ok {
		zone, _ = time.LoadLocation(*a.Zone)
		zones[*a.Zone] = zone
	}
	if zone != nil {
		r.When, r.Flags = h.short(whenOf(a.StartsAt.In(zone), *a.Language)), r.Flags|dated
	}
	return r
}

// attempts streams the attempts that a condition chooses; with is a common table expression for it, or empty.
func (r *run) attempts(ctx context.Context, h hasher, with, where string, args []any, fn func(record, attemptRow) error) error {
	rows, err := r.tx.Query(ctx, with+attemptRows+where, r.tx.Unplanned(args...)...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	zones := map[string]*time.Location{}
	for rows.Next() {
		var a attemptRow
		if err := rows.StructScan(&a); err != nil {
			return err
		}
		if err := fn(h.recorded(a, zones), a); err != nil {
			return err
		}
	}
	return rows.Err()
}

// showToken and showID write a key as the tables do.
func showToken(k key) string { return hex.EncodeToString(k[:]) }

func showID(k key) string {
	s := hex.EncodeToString(k[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", s[:8], s[8:12], s[12:16], s[16:20], s[20:])
}
