package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ansim/booking"
	"ansim/cmd/app"
	"ansim/schema"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// Canaries: they may stand in the database and nowhere else.
const (
	canaryName   = "남궁카나리아"
	canaryPhone  = "+821055512345"
	canaryReason = "남궁카나리아 says that nothing came to 010-5551-2345"
)

// office is a database with a service that runs on it, as `ansim serve` would in another process.
type office struct {
	t      *testing.T
	url    string
	db     *sqldb.DB
	svc    *booking.Service
	client booking.Client
	n      int
}

// eachOffice runs fn on both databases.
func eachOffice(t *testing.T, fn func(t *testing.T, o *office)) {
	t.Helper()
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + t.TempDir() + "/ansim.db" },
		"postgres": func(t *testing.T) string { return dbtest.PostgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, newOffice(t, url(t)))
		})
	}
}

func newOffice(t *testing.T, url string) *office {
	t.Helper()
	ctx := t.Context()
	o := &office{t: t, url: url}
	var err error
	if o.db, err = sqldb.Open(ctx, url, sqldb.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.db.Close() })
	if _, err := schema.Migrate(ctx, o.db, false); err != nil {
		t.Fatal(err)
	}
	// By the real clock, since the commands know no other: open for a day, with an appointment far ahead.
	now := time.Now().UTC()
	file, err := booking.ParseProgramme(strings.NewReader(fmt.Sprintf(`
id: covid
name: {ko: 예방접종, en: Vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: %s
closes_at: %s
sites: [{id: gangnam, name: {ko: 강남구보건소, en: Gangnam}}]
slots: [{id: g1, site: gangnam, starts_at: %s, capacity: 100}]`, now.Add(-24*time.Hour).Format(time.RFC3339),
		now.Add(24*time.Hour).Format(time.RFC3339), now.Add(30*24*time.Hour).Format(time.RFC3339))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := booking.ApplyProgramme(ctx, o.db, file, booking.ApplyOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	ids, err := booking.OpenIdentities(ctx, o.db, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	key, err := booking.CreateKey(ctx, o.db, booking.KeySpec{Name: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	if o.client, err = booking.NewKeys(o.db, nil).Authenticate(ctx, key); err != nil {
		t.Fatal(err)
	}
	o.svc = booking.NewService(o.db, ids, booking.Options{Look: app.LookAtTexts})
	t.Cleanup(o.svc.Stop)
	return o
}

func (o *office) book() booking.Reservation {
	o.t.Helper()
	o.n++
	key := fmt.Sprint("k", o.n)
	r, err := o.svc.Book(o.t.Context(), booking.Call{Client: o.client, Key: key, Route: "POST /v1/reservations", Fingerprint: sha256.Sum256([]byte(key))},
		booking.BookRequest{SlotID: "g1", Identity: key, Name: canaryName, BirthDate: "1967-03-21", Phone: canaryPhone, Language: "ko"})
	if err != nil {
		o.t.Fatal(err)
	}
	return r.Reservation
}

func (o *office) exec(query string, args ...any) {
	o.t.Helper()
	err := o.db.Write(o.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// text makes a message of the reservation's events that have none, and gives all its messages a state.
func (o *office) text(id, state string) {
	o.t.Helper()
	o.exec(`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend, state, event_at, created_at, updated_at)
		SELECT event_id, event_id, reservation_id, version, 'confirmation', 'resident', resend, 'pending', created_at, created_at, created_at
		FROM outbox WHERE reservation_id = ? AND NOT EXISTS (SELECT 1 FROM message m WHERE m.event_id = outbox.event_id)`, id)
	o.exec("UPDATE message SET state = ? WHERE reservation_id = ?", state, id)
}

// age makes the reservation and its resends an hour old.
func (o *office) age(id string) {
	o.t.Helper()
	o.exec("UPDATE reservation SET updated_at = ? WHERE id = ?", sqldb.At(time.Now().Add(-time.Hour)), id)
	o.exec("UPDATE resend SET created_at = ? WHERE reservation_id = ?", sqldb.At(time.Now().Add(-time.Hour)), id)
}

// hold keeps the reservation's cool-down from ending, however slow the machine is.
func (o *office) hold(id string) {
	o.t.Helper()
	o.exec("UPDATE reservation SET updated_at = ? WHERE id = ?", sqldb.At(time.Now().Add(time.Hour)), id)
}

// resend runs the command; the database need not be named.
func (o *office) resend(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	var out, errs bytes.Buffer
	code = run(o.t.Context(), append([]string{"resend", "--database-url", o.url}, args...), &out, &errs)
	for _, private := range []string{canaryName, "55512345", "5551-2345"} {
		if strings.Contains(out.String()+errs.String(), private) {
			o.t.Errorf("%q is shown:\n%s%s", private, out.String(), errs.String())
		}
	}
	return code, out.String(), errs.String()
}

func TestResendCommand(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		r := o.book()
		o.text(r.ID, "failed")
		o.age(r.ID)
		code, out, errs := o.resend("--code", strings.ToLower(booking.FormatCode(r.Code)), "--reason", canaryReason, "--by", "kim", "--json")
		if code != 0 || errs != "" {
			t.Fatalf("exit %d: %s", code, errs)
		}
		if strings.Contains(out, r.Code) || strings.Contains(out, booking.FormatCode(r.Code)) {
			t.Errorf("the code is shown: %s", out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := map[string]any{"reservation_id": r.ID, "version": 1.0, "number": 1.0, "event_id": got["event_id"], "recipients": []any{"resident"}}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		var row struct {
			Type, By, Reason string
			Resend, Unknown  int
		}
		err := o.db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Get(ctx, &row, `SELECT o.type, o.resend, x.requested_by AS by, x.reason, x.while_unknown AS unknown
				FROM outbox o JOIN resend x ON x.event_id = o.event_id WHERE o.event_id = ?`, got["event_id"])
		})
		if err != nil || row.Type != "ansim.reservation.booked.v1" || row.By != "cli:kim" || row.Reason != canaryReason || row.Resend != 1 || row.Unknown != 0 {
			t.Errorf("stored: %+v, %v", row, err)
		}

		// The service that runs beside it sees what the command did, and the other way round.
		o.text(r.ID, "delivered")
		o.hold(r.ID)
		_, err = o.svc.Resend(t.Context(), booking.Call{Client: o.client, Key: "r", Route: "POST /v1/reservations/{id}/resend"},
			booking.ResendOrder{ReservationID: r.ID, Reason: "again"})
		if !strings.Contains(fmt.Sprint(err), booking.ErrCoolDown.Error()) {
			t.Errorf("the service after the command: %v", err)
		}
		o.age(r.ID)
		if code, _, errs := o.resend("--reservation", r.ID, "--reason", "again"); code != 0 { // by the machine's user
			t.Errorf("exit %d: %s", code, errs)
		}
	})
}

// Each refusal has its exit code and says what to do next.
func TestResendCommandRefuses(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		young, sending, unknown, waits, lost, past := o.book(), o.book(), o.book(), o.book(), o.book(), o.book()
		for r, state := range map[string]string{young.ID: "delivered", sending.ID: "sending", unknown.ID: "unknown", waits.ID: "pending"} {
			o.text(r, state)
		}
		for _, r := range []booking.Reservation{sending, unknown, waits, lost, past} {
			o.age(r.ID)
		}
		o.hold(young.ID)
		o.exec("INSERT INTO slot (id, programme_id, site_id, starts_at, capacity) VALUES ('gone', 'covid', 'gangnam', ?, 9)", sqldb.At(time.Now().Add(-time.Minute)))
		o.exec("UPDATE reservation SET slot_id = 'gone' WHERE id = ?", past.ID)
		for _, c := range []struct {
			name string
			args []string
			code int
			says []string
		}{
			{"neither", []string{"--reason", "x"}, 2, []string{"--code", "--reservation"}},
			{"both", []string{"--reason", "x", "--code", "K7Q29-3TX4M", "--reservation", young.ID}, 2, []string{"--code", "--reservation"}},
			{"no reason", []string{"--reservation", young.ID}, 2, []string{"--reason"}},
			{"empty reason", []string{"--reservation", young.ID, "--reason", " "}, 2, []string{"--reason", "1 to 200"}},
			{"long reason", []string{"--reservation", young.ID, "--reason", strings.Repeat("가", 201)}, 2, []string{"--reason", "1 to 200"}},
			{"bad code", []string{"--code", "K7Q29", "--reason", "x"}, 2, []string{"--code", "10 letters"}},
			{"bad recipient", []string{"--reservation", young.ID, "--reason", "x", "--recipient", "all"}, 2, []string{"--recipient", "booker"}},
			{"bad name", []string{"--reservation", young.ID, "--reason", "x", "--by", "a\nb"}, 2, []string{"--by"}},
			{"no such code", []string{"--code", "00000-00000", "--reason", "x"}, 1, []string{"code", "--database-url"}},
			{"no such id", []string{"--reservation", uuid.NewString(), "--reason", "x"}, 1, []string{"id", "--database-url"}},
			{"what is no id", []string{"--reservation", "x", "--reason", "x"}, 1, []string{"id", "--database-url"}},
			{"too soon", []string{"--reservation", young.ID, "--reason", "x"}, 1, []string{"ask again in "}},
			{"sending", []string{"--reservation", sending.ID, "--reason", "x"}, 1, []string{"--even-if-unknown"}},
			{"unknown", []string{"--reservation", unknown.ID, "--reason", "x"}, 1, []string{"--even-if-unknown"}},
			{"pending", []string{"--reservation", waits.ID, "--reason", "x", "--even-if-unknown"}, 1, []string{"by itself"}},
			{"no message yet", []string{"--reservation", lost.ID, "--reason", "x"}, 1, []string{"by itself"}},
			{"no booker", []string{"--reservation", unknown.ID, "--reason", "x", "--recipient", "booker"}, 1, []string{"--recipient resident"}},
			{"past", []string{"--reservation", past.ID, "--reason", "x", "--even-if-unknown"}, 1, []string{"too late"}},
		} {
			code, out, errs := o.resend(c.args...)
			if code != c.code || out != "" {
				t.Errorf("%s: exit %d, %s%s", c.name, code, out, errs)
			}
			for _, s := range c.says {
				if !strings.Contains(errs, s) {
					t.Errorf("%s: does not say %q: %s", c.name, s, errs)
				}
			}
		}
		var n int
		if err := o.db.Peek(t.Context(), &n, "SELECT COUNT(*) FROM resend"); err != nil || n != 0 {
			t.Errorf("%d resends of refusals, %v", n, err)
		}
		if code, _, errs := o.resend("--reservation", unknown.ID, "--reason", "x", "--even-if-unknown"); code != 0 {
			t.Errorf("on the risk of a second copy: exit %d, %s", code, errs)
		}
		if err := o.db.Peek(t.Context(), &n, "SELECT while_unknown FROM resend"); err != nil || n != 1 {
			t.Errorf("while_unknown is %d, %v", n, err)
		}
	})
}
