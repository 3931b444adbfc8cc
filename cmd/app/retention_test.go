package app

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ansim/notifier"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// TestRetentionBeats when it has run and when another process does it, and not when it failed.
func TestRetentionBeats(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ leading, away, beats bool }{
		"runs": {true, false, true}, "stands by": {false, false, true}, "fails": {true, true, false},
	} {
		db := dbtest.SQLite(t, sqldb.Options{})
		if c.away {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		reg := prometheus.NewRegistry()
		a := &App{metrics: notifier.NewMetrics(reg), log: slog.New(slog.DiscardHandler)}
		a.retain(t.Context(), &Retention{DB: db, Keep: DefaultKeep}, c.leading)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		beats := false
		for _, f := range families {
			beats = beats || f.GetName() == "ansim_job_last_round_timestamp_seconds"
		}
		if beats != c.beats {
			t.Errorf("%s: it beats: %v", name, beats)
		}
	}
}
