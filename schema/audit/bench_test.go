package audit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// BenchmarkRun audits a database of ANSIM_AUDIT_ROWS reservations (default 20,000), each with one delivered text and its
// receipts, beside a log of as many texts. It reports the largest memory that the process ever had, of which the test's own
// share is small. The numbers of the package comment come from
//
//	ANSIM_AUDIT_ROWS=3000000 go test -run '^$' -bench Run -benchtime 1x ./schema/audit
func BenchmarkRun(b *testing.B) {
	rows := 20_000
	if v, err := strconv.Atoi(os.Getenv("ANSIM_AUDIT_ROWS")); err == nil {
		rows = v
	}
	db := dbtest.Postgres(b, sqldb.Options{})
	for _, q := range crowd {
		if _, err := db.Pool().ExecContext(b.Context(), strings.ReplaceAll(q, "ROWS", strconv.Itoa(rows))); err != nil {
			b.Fatalf("%s: %v", q, err)
		}
	}
	ro, err := sqldb.Open(b.Context(), urlOf(b, db), sqldb.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	defer ro.Close()
	for b.Loop() {
		for _, log := range []bool{false, true} {
			o := Options{Now: noon.Time}
			if log {
				r, w := io.Pipe()
				go func() { w.CloseWithError(writeCrowd(w, rows)) }()
				o.Log = r
			}
			began := time.Now()
			report, err := Run(context.Background(), ro, o)
			if err != nil {
				b.Fatal(err)
			}
			if report.Failed(true) || report.Figures.Delivered != int64(rows) {
				b.Fatal(shown(report))
			}
			b.ReportMetric(time.Since(began).Seconds(), fmt.Sprintf("s/log=%v", log))
			b.ReportMetric(largest(), fmt.Sprintf("MB/log=%v", log))
		}
	}
}

// urlOf finds the URL of a test's database.
func urlOf(b *testing.B, db *sqldb.DB) string {
	b.Helper()
	var url string
	if err := db.Pool().GetContext(b.Context(), &url, `SELECT 'postgres://' || current_user || '@' || COALESCE(host(inet_server_addr()), '127.0.0.1')
		|| ':' || current_setting('port') || '/' || current_database() || '?sslmode=disable'`); err != nil {
		b.Fatal(err)
	}
	return url
}

// largest is the most memory that this process ever had, in MB; 0 where the system does not say.
func largest() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb := 0.0
	_, _ = fmt.Sscan(rest, &kb)
	return kb / 1024
}

func writeCrowd(w io.Writer, rows int) error {
	out := bufio.NewWriterSize(w, 1<<20)
	for i := 1; i <= rows; i++ {
		fmt.Fprintf(out, `{"seq":%d,"sid":"SM%032x","to":"+8210%08d","body":"[백신] 예약완료\n7/27(월)21:00 보건소\n번호 ABC%02d-%05d","token":"%032x","at":"2026-07-26T11:00:00Z"}`+"\n",
			i, i, i, i/100_000, i%100_000, i)
	}
	return out.Flush()
}

// crowd are ROWS people of a night, an hour before noon.
var crowd = []string{
	`INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES ('00000000-0000-7000-0009-000000000001', 'key', '\x01', 'book', '2026-07-26T11:00:00Z')`,
	`INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
		VALUES ('p', 'ㄱ', 'p', 'ㄱ', 'p', 'Asia/Seoul', '2026-07-20T00:00:00Z', '2026-07-29T00:00:00Z', '2026-07-20T00:00:00Z')`,
	`INSERT INTO site (id, programme_id, name_ko, name_en) VALUES ('s', 'p', 'ㄱ', 's')`,
	`INSERT INTO slot (id, programme_id, site_id, starts_at, capacity, taken)
		SELECT 's' || n, 'p', 's', '2026-07-27T12:00:00Z', ROWS, (ROWS + 999 - n) / 1000 FROM generate_series(0, 999) n`,
	`INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date, phone, language,
			created_at, updated_at)
		SELECT CAST('00000000-0000-7000-0001-' || lpad(CAST(n AS text), 12, '0') AS uuid),
			'ABC' || lpad(CAST(n / 100000 AS text), 2, '0') || lpad(CAST(n % 100000 AS text), 5, '0'), 'p', 's' || (n - 1) % 1000,
			'00000000-0000-7000-0009-000000000001', 1, 'confirmed', convert_to(CAST(n AS text), 'UTF8'), 'name', '1967-01-01',
			'+8210' || lpad(CAST(n AS text), 8, '0'), 'ko', '2026-07-26T11:00:00Z', '2026-07-26T11:00:00Z' FROM generate_series(1, ROWS) n`,
	`INSERT INTO idempotency_key (api_key_id, route, key, fingerprint, status, body, reservation_id, created_at, expires_at)
		SELECT api_key_id, 'POST /v1/reservations', code, '\x01', 201, '\x01', id, created_at, '2026-07-29T00:00:00Z' FROM reservation`,
	`INSERT INTO outbox (event_id, type, reservation_id, version, recipients, created_at)
		SELECT CAST(replace(CAST(id AS text), '-0001-', '-0002-') AS uuid), 'ansim.reservation.booked.v1', id, 1, 'resident', created_at FROM reservation`,
	`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, attempts, event_at, created_at, updated_at, accepted_at, delivered_at)
		SELECT CAST(replace(CAST(id AS text), '-0001-', '-0003-') AS uuid), CAST(replace(CAST(id AS text), '-0001-', '-0002-') AS uuid), id, 1,
			'confirmation', 'resident', 'delivered', 1, created_at, created_at, created_at, created_at, created_at FROM reservation`,
	`INSERT INTO attempt (token, message_id, n, state, body_hash, provider_sid, http_status, started_at, finished_at)
		SELECT lpad(to_hex(n), 32, '0'), CAST('00000000-0000-7000-0003-' || lpad(CAST(n AS text), 12, '0') AS uuid), 1, 'delivered',
			sha256(convert_to('[백신] 예약완료' || chr(10) || '7/27(월)21:00 보건소' || chr(10) || '번호 ABC' || lpad(CAST(n / 100000 AS text), 2, '0')
				|| '-' || lpad(CAST(n % 100000 AS text), 5, '0'), 'UTF8')),
			'SM' || lpad(to_hex(n), 32, '0'), 201, '2026-07-26T11:00:00Z', '2026-07-26T11:00:01Z' FROM generate_series(1, ROWS) n`,
	`INSERT INTO provider_text (provider_sid, attempt_token) SELECT provider_sid, token FROM attempt`,
	`INSERT INTO receipt (attempt_token, provider_sid, status, source, received_at)
		SELECT token, provider_sid, s, 'callback', '2026-07-26T11:00:10Z' FROM attempt, unnest(ARRAY['sent', 'delivered']) s`,
	`ANALYZE`,
}
