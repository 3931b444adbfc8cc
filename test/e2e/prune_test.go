package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ansim/schema/sqldb"
	kafkatest "ansim/test/kafka"
)

// TestPrune lets a year go by after some people were booked and told, deletes what is past its time, and looks whether that is
// missed anywhere: by the invariants, by who asks about an old appointment, by the service as it goes on, or by people, who must
// not hear of it again although Kafka still has the events.
func TestPrune(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]func(t *testing.T) *installation{
		"embedded": func(t *testing.T) *installation { return embedded(t) },
		"servers":  func(t *testing.T) *installation { return onServers(t, kafkatest.Start(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := on(t)
			p := in.serve(all)
			in.prepare()
			old := in.crowdOf(31, 60, 4)
			old.start(time.Minute)()
			in.everybodyKnows(2*time.Minute, old)
			in.allDelivered()
			p.stop()

			in.age(365)
			// On a slow machine the sweeper has seen some by now: it looks at what is half a minute old. So it begins at the beginning.
			in.exec("UPDATE sweeper SET position = ''")
			sent := len(in.texts(t))
			prune := func(args ...string) (n map[string]int) {
				r := run(t, in.env, slices.Concat([]string{"prune", "--json"}, args)...)
				if err := json.Unmarshal([]byte(r.lastLine()), &n); r.code != 0 || err != nil {
					t.Fatalf("prune: exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
				}
				return n
			}
			if n := prune(); n["events"] > 0 || n["texts"] > 0 {
				t.Errorf("deleted %v that nobody has swept", n)
			}
			p = in.serve(all)
			// One event for each booking and each cancel, and a text for each of them.
			var would map[string]int
			// It waits behind the open transactions of other tests on the same server.
			await(t, 3*time.Minute, "the sweeper has seen all events", func() error {
				if would = prune("--dry-run"); would["events"] < 75 {
					return errNotYet
				}
				return nil
			})
			if done := prune(); fmt.Sprint(would) != fmt.Sprint(done) || done["texts"] < 75 {
				t.Errorf("deleted %v, counted before %v", done, would)
			}
			if r := run(t, in.env, "prune", "--keep", "24h"); r.code != 2 {
				t.Errorf("--keep 24h: exit %d\n%s", r.code, r.stderr)
			}

			if r := run(t, in.env, "check", "--settled"); r.code != 0 {
				t.Errorf("check: exit %d\n%s", r.code, r.stdout)
			}
			before, err := in.read(t.Context(), old.people[0].id)
			if err != nil {
				t.Fatal(err)
			}
			if c := before.Confirmation; c.State != "suppressed" || c.Reason != "appointment-past" {
				t.Errorf("an appointment of last year: %+v", c)
			}
			in.apply(strings.NewReplacer("covid-2021-50s", "covid-2022-50s", "gangnam", "mapo"))
			fresh := in.crowdOf(32, 20, 0)
			fresh.start(time.Minute)()
			await(t, time.Minute, "the newly booked are told", func() error {
				if r := run(t, in.env, "check", "--settled"); r.code != 0 {
					return fmt.Errorf("exit %d\n%s", r.code, r.stdout)
				}
				return nil
			})
			if n := len(in.texts(t)) - sent; n < 20 {
				t.Errorf("%d texts since, want those of the 20 newly booked", n)
			}
			for _, text := range in.texts(t)[sent:] {
				for _, one := range old.people {
					if text.code() == one.code {
						t.Errorf("somebody of last year was told again")
					}
				}
			}
			if z := in.ready(p); z.Checks["sending"] != "ok" {
				t.Errorf("sending: %q", z.Checks["sending"])
			}
		})
	}
}

// database is the URL of the installation's database.
func (in *installation) database() string {
	if url := in.setting("ANSIM_DATABASE_URL"); url != "" {
		return url
	}
	return "sqlite:" + filepath.Join(in.setting("ANSIM_DATA"), "ansim.db")
}

// open opens the installation's database behind its back; the caller closes it.
func (in *installation) open() *sqldb.DB {
	in.t.Helper()
	db, err := sqldb.Open(in.t.Context(), in.database(), sqldb.Options{})
	if err != nil {
		in.t.Fatal(err)
	}
	return db
}

// exec changes the installation's database.
func (in *installation) exec(query string) {
	in.t.Helper()
	db := in.open()
	defer db.Close()
	if _, err := db.Pool().ExecContext(in.t.Context(), query); err != nil {
		in.t.Fatalf("%s: %v", query, err)
	}
}

// age makes everything in the database days older.
func (in *installation) age(days int) {
	in.t.Helper()
	db := in.open()
	defer db.Close()
	for table, columns := range map[string][]string{
		"programme": {"opens_at", "closes_at", "applied_at"}, "slot": {"starts_at"}, "reservation": {"created_at", "updated_at"},
		"reservation_history": {"starts_at", "since"}, "idempotency_key": {"created_at", "expires_at"}, "outbox": {"created_at"},
		"message": {"event_at", "created_at", "updated_at", "accepted_at", "delivered_at", "looked_at"},
		"attempt": {"started_at", "unknown_at", "finished_at"}, "receipt": {"received_at"},
		"programme_rule": {"opens_at", "closes_at"}, "sweeper": {"updated_at"},
	} {
		for _, c := range columns {
			set := fmt.Sprintf("%s - interval '%d days'", c, days)
			if db.Dialect() == sqldb.SQLite { // the fraction stands behind the seconds
				set = fmt.Sprintf("strftime('%%Y-%%m-%%dT%%H:%%M:%%S', %s, '-%d days') || substr(%s, 20)", c, days, c)
			}
			if _, err := db.Pool().ExecContext(in.t.Context(), "UPDATE "+table+" SET "+c+" = "+set); err != nil {
				in.t.Fatalf("%s.%s: %v", table, c, err)
			}
		}
	}
}
