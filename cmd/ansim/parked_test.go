package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ansim/cmd/app"
	"ansim/notifier"
	"ansim/outbox"
	"ansim/schema"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// parkedCanaries stand in parked bodies, headers and reservations, and must stand nowhere else.
var parkedCanaries = []string{"남궁카나리아", "+821055512345", "CANARY"}

// depot is a database with what is parked.
type depot struct {
	t   *testing.T
	url string
	db  *sqldb.DB
	n   int
}

func eachDepot(t *testing.T, fn func(t *testing.T, d *depot)) {
	t.Helper()
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + t.TempDir() + "/ansim.db" },
		"postgres": func(t *testing.T) string { return dbtest.PostgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &depot{t: t, url: url(t)}
			var err error
			if d.db, err = sqldb.Open(t.Context(), d.url, sqldb.Options{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.db.Close() })
			if _, err := schema.Migrate(t.Context(), d.db, false); err != nil {
				t.Fatal(err)
			}
			d.programme()
			fn(t, d)
		})
	}
}

func (d *depot) exec(query string, args ...any) {
	d.t.Helper()
	if err := d.db.Write(d.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

const depotKey = "018f3c5e-7b1a-7000-8000-0000000000aa"

func (d *depot) programme() {
	at := sqldb.At(time.Now())
	d.exec(`INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES (?, 'k', ?, 'book', ?)`, depotKey, []byte{1}, at)
	d.exec(`INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
		VALUES ('p', 'ㄱ', 'P', 'ㄱ', 'P', 'Asia/Seoul', ?, ?, ?)`, at, sqldb.At(time.Now().Add(240*time.Hour)), at)
	d.exec(`INSERT INTO site (id, programme_id, name_ko, name_en) VALUES ('s', 'p', 'ㄱ', 'S')`)
	d.exec(`INSERT INTO slot (id, programme_id, site_id, starts_at, capacity) VALUES ('soon', 'p', 's', ?, 1000)`,
		sqldb.At(time.Now().Add(720*time.Hour)))
}

// text parks a text of a reservation of its own and returns both ids.
func (d *depot) text(state notifier.State, reason string) (id, reservation string) {
	d.t.Helper()
	d.n++
	id, reservation = uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	at := sqldb.At(time.Now())
	d.exec(`INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date,
		phone, language, created_at, updated_at) VALUES (?, ?, 'p', 'soon', ?, 1, 'confirmed', ?, ?, '1967-05-05', ?, 'ko', ?, ?)`,
		reservation, fmt.Sprintf("CANARY%04d", d.n), depotKey, []byte(id), parkedCanaries[0], parkedCanaries[1], at, at)
	d.exec(`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, reason, event_at, created_at, updated_at)
		VALUES (?, ?, ?, 1, 'confirmation', 'resident', ?, ?, ?, ?, ?)`, id, uuid.NewString(), reservation, string(state), reason, at, at, at)
	d.exec(`INSERT INTO message_queue (message_id, job, priority, due_at, since) VALUES (?, 'person', 0, ?, ?)`, id, at, at)
	return id, reservation
}

// event parks a record and returns its id.
func (d *depot) event(topic, headers, body, reason string) string {
	d.t.Helper()
	d.n++
	id := fmt.Sprintf("%064x", d.n)
	d.exec(`INSERT INTO parked_event (id, topic, topic_partition, topic_offset, headers, body, reason, parked_at)
		VALUES (?, ?, 0, ?, ?, ?, ?, ?)`, id, topic, d.n, headers, []byte(body), reason, sqldb.At(time.Now()))
	return id
}

// seen fails the test when something personal is shown.
func (d *depot) seen(what ...string) {
	d.t.Helper()
	for _, private := range append(parkedCanaries, "55512345") {
		for _, s := range what {
			if strings.Contains(s, private) {
				d.t.Errorf("%q is shown:\n%s", private, s)
			}
		}
	}
}

// parked runs `ansim parked …`; the database need not be named.
func (d *depot) parked(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	var out, errs bytes.Buffer
	code = run(d.t.Context(), append([]string{"parked", args[0], "--database-url", d.url}, args[1:]...), &out, &errs)
	d.seen(out.String(), errs.String())
	return code, out.String(), errs.String()
}

// lastLine reads the JSON object in the last line of out.
func lastLine(t *testing.T, out string, into any) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), into); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A parked record whose every part holds what is personal: none of it is shown, by the list, a dry run, or a redrive that fails.
func TestParkedShowsNothingPersonal(t *testing.T) {
	eachDepot(t, func(t *testing.T, d *depot) {
		const malformed = "malformed event: unknown ce_type"
		private := strings.Join(parkedCanaries, " ")
		d.event(event.Topic, fmt.Sprintf(`{"ce_type": %q, "ce_id": %q}`, private, private), `{"name": "`+private+`"}`, malformed)
		d.event(event.Topic, private, private, malformed)
		d.event("outbox", "{}", private, "the database refuses it")
		d.text(notifier.StateHeld, notifier.ReasonAnswerLost)
		for _, args := range [][]string{{"list"}, {"list", "--json", "--language", "ko"}, {"redrive", "--all", "--dry-run", "--json"},
			{"redrive", "--all", "--kind", "events", "--json"}, {"redrive", "--cause", malformed}, {"list", "--kind", "events"}} {
			if _, out, _ := d.parked(args...); out == "" {
				t.Errorf("%v says nothing", args)
			}
		}
		code, _, errs := d.parked("redrive", "--id", "CANAR")
		if code != exitFailed || !strings.Contains(errs, "parked list") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
}

func TestParkedListCommand(t *testing.T) {
	eachDepot(t, func(t *testing.T, d *depot) {
		code, out, errs := d.parked("list")
		if code != 0 || out != "nothing is parked\n" || errs != "" {
			t.Errorf("of nothing: exit %d: %s%s", code, out, errs)
		}
		lost, _ := d.text(notifier.StateHeld, notifier.ReasonAnswerLost)
		d.text(notifier.StateHeld, notifier.ReasonAnswerLost)
		d.text(notifier.StateFailed, "error-21211")
		ev := d.event("outbox", "{}", uuid.NewString(), "event of an unknown type")
		_, old := d.text(notifier.StateFailed, "error-30007")
		d.exec(`UPDATE reservation SET version = 2 WHERE id = ?`, old)
		code, out, errs = d.parked("list", "--json")
		if code != 0 || errs != "" {
			t.Fatalf("exit %d: %s", code, errs)
		}
		for _, s := range []string{lost, ev, "answer-lost", "superseded", "Sent again, it may arrive twice", "A newer ansim", "4 open"} {
			if !strings.Contains(out, s) {
				t.Errorf("does not say %q:\n%s", s, out)
			}
		}
		var got struct {
			Open   int64
			Causes []struct {
				Cause, Standing string
				Count           int64
				Permanent       bool
				May             int64 `json:"may_have_arrived"`
			}
		}
		lastLine(t, out, &got)
		type c = struct {
			Cause, Standing string
			Count           int64
			Permanent       bool
			May             int64 `json:"may_have_arrived"`
		}
		want := []c{{"event of an unknown type", "open", 1, false, 0}, {"answer-lost", "open", 2, false, 2}, {"error-21211", "open", 1, true, 0},
			{"error-30007", "superseded", 1, true, 0}}
		if diff := cmp.Diff(want, got.Causes); diff != "" || got.Open != 4 {
			t.Errorf("%d open (-want +got):\n%s", got.Open, diff)
		}
		if _, out, _ = d.parked("list", "--language", "ko", "--cause", "error-21211"); !strings.Contains(out, "전화번호가 올바르지 않습니다") ||
			strings.Contains(out, "answer-lost") {
			t.Errorf("in Korean, of one cause:\n%s", out)
		}
	})
}

// Exit codes of redrives, and what they say.
func TestParkedRedriveCommand(t *testing.T) {
	eachDepot(t, func(t *testing.T, d *depot) {
		bad := d.event(event.Topic, "{}", "{}", "malformed event: ce_specversion is not 1.0")
		lost, _ := d.text(notifier.StateHeld, notifier.ReasonAnswerLost)
		number, _ := d.text(notifier.StateFailed, "error-21211")
		for _, c := range []struct {
			name string
			args string
			code int
			says []string
		}{
			{"nothing named", "", 2, []string{"--id", "--cause", "--all"}},
			{"two named", "--id " + lost + " --all", 2, []string{"--id", "--all"}},
			{"an empty id", "--id=", 2, []string{"empty"}},
			{"an empty cause", "--cause=", 2, []string{"empty"}},
			{"no such kind", "--all --kind letters", 2, []string{"--kind"}},
			{"a negative limit", "--all --limit=-1", 2, []string{"--limit"}},
			{"a long name", "--all --by " + strings.Repeat("x", 91), 2, []string{"--by"}},
			{"no such id", "--id " + uuid.NewString(), 1, []string{"ansim parked list"}},
			{"no such cause", "--cause error-1", 0, []string{"nothing to redrive"}},
			{"an event that is malformed still", "--id " + bad, 1, []string{"failed", "malformed event", bad}},
			{"the same, in a dry run", "--dry-run --id " + bad, 0, []string{"would fail", "malformed event"}},
			{"a lost answer by its id", "--id " + lost, 1, []string{"skipped", "--accept-duplicates"}},
			{"a lost answer by its cause", "--cause answer-lost", 1, []string{"skipped", "--accept-duplicates"}},
			{"all texts, of which none may be taken", "--all --kind texts", 0, []string{"--accept-duplicates", "--even-permanent"}},
			{"a bad number, in a dry run", "--dry-run --id " + number, 0, []string{"would redrive", "correct the number first"}},
			{"all, in a dry run", "--dry-run --all", 0, []string{"would skip", "would fail", "would redrive 0, would skip 2, would fail 1"}},
		} {
			code, out, errs := d.parked(append([]string{"redrive"}, strings.Fields(c.args)...)...)
			if code != c.code {
				t.Errorf("%s: exit %d:\n%s%s", c.name, code, out, errs)
			}
			for _, s := range c.says {
				if !strings.Contains(out+errs, s) {
					t.Errorf("%s: does not say %q:\n%s%s", c.name, s, out, errs)
				}
			}
		}
		// An outbox row that this program understands now.
		e := event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: event.Booked, ReservationID: uuid.NewString(), Version: 1,
			Recipients: []event.Recipient{event.Resident}, Time: time.Now()}
		if err := d.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return outbox.Append(ctx, tx, []event.Event{e})
		}); err != nil {
			t.Fatal(err)
		}
		d.event("outbox", "{}", e.ID, "event of an unknown type")
		code, out, errs := d.parked("redrive", "--cause", "event of an unknown type", "--json")
		var got notifier.RedriveReport
		lastLine(t, out, &got)
		if code != 0 || errs != "" || got.RedriveCounts != (notifier.RedriveCounts{Redriven: 1}) {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
		var n int
		if err := d.db.Peek(t.Context(), &n, `SELECT COUNT(*) FROM message WHERE event_id = ?`, e.ID); err != nil || n != 1 {
			t.Errorf("%d messages of the event, %v", n, err)
		}
	})
}

// What the command makes of the answers to its requests to send texts again.
func TestParkedRedriveOfTexts(t *testing.T) {
	eachDepot(t, func(t *testing.T, d *depot) {
		_, first := d.text(notifier.StateFailed, "error-30007")
		d.text(notifier.StateFailed, "error-30003")
		_, third := d.text(notifier.StateHeld, notifier.ReasonAnswerLost)
		redrive := func(c parkedRedriveCmd, answer func(notifier.ResendRequest) error) (requests []notifier.ResendRequest, out, errs string, err error) {
			var o, e bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Kind = "texts"
			en := &env{ctx: ctx, stdout: &o, stderr: &e, log: slog.New(slog.DiscardHandler)}
			p := app.Parked(d.db)
			p.Resend = func(_ context.Context, r notifier.ResendRequest) error {
				requests = append(requests, r)
				a := answer(r)
				if errors.Is(a, context.Canceled) { // Ctrl-C while this one is under way
					cancel()
					return nil
				}
				return a
			}
			err = c.redrive(en, p)
			d.seen(o.String(), e.String(), fmt.Sprint(err))
			return requests, o.String(), e.String(), err
		}

		rs, out, errs, err := redrive(parkedRedriveCmd{All: true, By: "kim", JSON: true, EvenPermanent: true}, func(r notifier.ResendRequest) error {
			if r.ReservationID == first {
				return fmt.Errorf("%w: its time has come", notifier.ErrResendRefused)
			}
			return nil
		})
		if !errors.Is(err, errSilent) || errs != "" || !strings.Contains(out, "its time has come") {
			t.Errorf("one was refused: %v\n%s%s", err, out, errs)
		}
		var got notifier.RedriveReport
		lastLine(t, out, &got)
		if got.RedriveCounts != (notifier.RedriveCounts{Redriven: 1, Skipped: 1, Failed: 1}) || len(rs) != 2 {
			t.Errorf("%+v, after %d requests", got, len(rs))
		}

		rs, _, errs, err = redrive(parkedRedriveCmd{Cause: "answer-lost", By: "kim", AcceptDuplicates: true},
			func(notifier.ResendRequest) error { return nil })
		if err != nil || errs != "" || len(rs) != 1 {
			t.Fatalf("%v, %s, %d requests", err, errs, len(rs))
		}
		rs[0].Check = nil
		if diff := cmp.Diff(notifier.ResendRequest{ReservationID: third, Recipient: event.Resident, Reason: "redrive: answer-lost",
			By: "redrive:kim", EvenIfUnknown: true}, rs[0]); diff != "" {
			t.Errorf("the request (-want +got):\n%s", diff)
		}

		rs, out, errs, err = redrive(parkedRedriveCmd{All: true, EvenPermanent: true, JSON: true},
			func(notifier.ResendRequest) error { return context.Canceled })
		lastLine(t, out, &got)
		if !errors.Is(err, errSilent) || len(rs) != 1 || !got.Interrupted || got.Redriven != 1 ||
			!strings.Contains(errs, "interrupted after 1 redriven") || !strings.Contains(errs, "goes on where it stopped") {
			t.Errorf("Ctrl-C: %v, %d requests\n%s%s", err, len(rs), out, errs)
		}
	})
}

// Every reason with which a text is held or fails says why, in both languages.
func TestParkedReasonsAreExplained(t *testing.T) {
	t.Parallel()
	for reason, lasts := range map[string]bool{notifier.ReasonAnswerLost: false, notifier.ReasonLookupFailed: false,
		notifier.ReasonOptedOut: true, notifier.ReasonCannotRender: false, notifier.ReasonNoReservation: false, "error-21211": true, "error-21610": true,
		"error-30003": false, "error-30007": true, "error-99999": false} {
		if ko, en := app.ExplainParked(reason); ko == "" || en == "" {
			t.Errorf("%s is not explained: %q, %q", reason, ko, en)
		}
		if app.Permanent(reason) != lasts {
			t.Errorf("%s: permanent is %t", reason, !lasts)
		}
	}
	for _, reason := range []string{"", "error-", "error-x", "what a newer program says"} {
		if ko, en := app.ExplainParked(reason); ko != "" || en != "" || app.Permanent(reason) {
			t.Errorf("%q: %q, %q, %t", reason, ko, en, app.Permanent(reason))
		}
	}
}
