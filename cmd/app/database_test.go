package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"ansim/notifier"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	"ansim/test/detour"
)

// databaseUp is what a process's figures say of its database. Those of the installation must be there with it, and not without.
func databaseUp(t *testing.T, families map[string]*dto.MetricFamily) bool {
	t.Helper()
	if families["ansim_database_up"] == nil {
		t.Fatal("nothing is said of the database")
	}
	up := families["ansim_database_up"].GetMetric()[0].GetGauge().GetValue() == 1
	for _, name := range []string{"ansim_oldest_unconfirmed_seconds", "ansim_messages_waiting", "ansim_notifiers", "ansim_outbox_backlog_rows"} {
		if there := families[name] != nil; there != up {
			t.Errorf("the database is up: %v, %s is there: %v", up, name, there)
		}
	}
	return up
}

// TestADatabaseThatIsAwayIsNotAskedForFigures: a look finds out, and until the next one Prometheus is answered without it. It is in
// a bubble, since in three seconds of real time even a database that is there may not answer.
func TestADatabaseThatIsAwayIsNotAskedForFigures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := dbtest.SQLite(t, sqldb.Options{})
		reg := prometheus.NewRegistry()
		a := &App{db: db, lookout: notifier.NewLookout(db), registry: reg, log: slog.New(slog.DiscardHandler)}
		a.health = newHealth(a)
		a.figures = newFigures(a)
		up := func() bool {
			t.Helper()
			gathered, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			families := map[string]*dto.MetricFamily{}
			for _, f := range gathered {
				families[f.GetName()] = f
			}
			return databaseUp(t, families)
		}
		if !up() {
			t.Error("it answers")
		}
		a.figures.away.Store(true)
		if up() {
			t.Error("it was asked, though it was away at the last look")
		}
		a.figures.lookAtDatabase(t.Context())
		if !up() {
			t.Error("it answers again")
		}
		_ = db.Close()
		if up() {
			t.Error("it went, and nobody has looked yet")
		}
		a.figures.lookAtDatabase(t.Context())
		if !a.figures.away.Load() {
			t.Error("a look did not see that it went")
		}
	})
}

// TestFiguresWhileTheDatabaseIsAway: a process whose database cannot be reached, or hangs, still answers Prometheus and says so.
func TestFiguresWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dbtest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	way, err := detour.Open(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	u.Host = way.Addr()
	a, err := New(t.Context(), Config{DatabaseURL: u.String(), Kafka: "127.0.0.1:1", Addr: "127.0.0.1:0", Secret: strings.Repeat("07", 32),
		Migrate: true, Roles: Roles, Twilio: Twilio{AccountSID: "AC" + strings.Repeat("0", 32), AuthToken: "secret", From: "+15005550006",
			BaseURL: "http://127.0.0.1:1"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	t.Cleanup(func() { way.Set(detour.Pass, 1) })
	up := func() bool {
		t.Helper()
		families := scraped(t.Context(), t, a.URL())
		if families["ansim_booking_queue"] == nil || families["ansim_relay_leading"] == nil {
			t.Error("what the process knows by itself is not told")
		}
		return databaseUp(t, families)
	}
	for !up() { // on a slow machine it may take its time; in the end it answers
		a.figures.lookAtDatabase(t.Context())
	}
	for _, is := range []detour.Way{detour.Refuse, detour.Hang} {
		way.Set(is, 1)
		if up() {
			t.Errorf("%s: nobody notices", is)
		}
		way.Set(detour.Refuse, 1) // what hangs would hang on
		way.Set(detour.Pass, 1)
		for !up() { // a look that began before may end later, and is followed by others
			a.figures.lookAtDatabase(t.Context())
		}
	}
}

func scraped(ctx context.Context, t *testing.T, process string) map[string]*dto.MetricFamily {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, process+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}
