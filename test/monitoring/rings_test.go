package monitoring

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// quiet are the figures of a night on which nothing may ring, as Prometheus 3 stores them.
const quiet = `load 15s
	ansim_oldest_unconfirmed_seconds{instance="a"} 0+0x240
	ansim_sending_frozen{instance="a"} 0+0x240
	ansim_commit_to_accepted_seconds_bucket{le="10.0",instance="a"} 0+100x240
	ansim_commit_to_accepted_seconds_count{instance="a"} 0+100x240
	ansim_drain_seconds{instance="a"} 1+0x240
	ansim_messages_waiting{state="person",instance="a"} 0+0x240
	ansim_messages_oldest_seconds{state="unknown",instance="a"} 20+0x240
	ansim_duplicate_texts_total{instance="a"} 3+0x240
	ansim_oversold_slots{instance="a"} 0+0x240
	ansim_notifiers{state="ok",instance="a"} 2+0x240
	ansim_notifiers{state="refused",instance="a"} 0+0x240
	ansim_notifiers{state="away",instance="a"} 0+0x240
	ansim_provider_codes_total{code="unlisted",disposition="permanent",instance="a"} 0+0x240
	ansim_broker_up{instance="a"} 1+0x240
	ansim_database_up{instance="a"} 1+0x240
	ansim_database_up{instance="b"} 1+0x240
	ansim_booking_queue{instance="a"} 3+0x240
	ansim_relay_leading{instance="a"} 1+0x240
	ansim_relay_leading{instance="b"} 0+0x240
	ansim_relay_failing{instance="a"} 0+0x240
	ansim_outbox_oldest_seconds{instance="a"} 0+0x240
	ansim_consumer_lag_records{partition="0",instance="a"} 40+0x240
	ansim_consumer_lag_records{partition="0",instance="b"} 40+0x240
	ansim_sweeper_rescued_total{instance="a"} 7+0x240
	ansim_parked_events{instance="a"} 0+0x240
	ansim_job_last_round_timestamp_seconds{task="send",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="intake",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="look",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="expire",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="poll",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="sweep",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="heartbeat",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="relay",instance="a"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="relay",instance="b"} 0+15x240
	ansim_job_last_round_timestamp_seconds{task="retention",instance="a"} -5400+0x240
	ansim_job_last_round_timestamp_seconds{task="oversold",instance="a"} 0+15x240
	ansim_http_requests_total{route="POST /v1/reservations",status="201",instance="a"} 0+1500x240
	ansim_http_requests_total{route="POST /v1/reservations",status="503",instance="a"} 4+0x240
	ansim_http_requests_total{route="POST /v1/reservations",status="500",instance="a"} 0+0x240
	ansim_http_requests_total{route="/r",status="500",instance="a"} 0+0x240
	ansim_http_requests_total{route="/console",status="500",instance="a"} 0+0x240
	ansim_http_requests_total{route="POST /v1/providers/twilio/status/{token}",status="500",instance="a"} 0+0x240
	ansim_http_requests_total{route="POST /v1/providers/twilio/status/{token}",status="503",instance="a"} 0+0x240
`

// TestEveryAlarmRings gives each alarm the figures that it is for, and those of a quiet night, on which none may ring; each as either
// version of Prometheus stores them.
func TestEveryAlarmRings(t *testing.T) {
	// What is changed of the quiet night; "" takes a figure away.
	loud := map[string]map[string]string{
		"AnsimTextsLate":         {`ansim_oldest_unconfirmed_seconds{instance="a"}`: "0+15x240"},
		"AnsimSendingFrozen":     {`ansim_sending_frozen{instance="a"}`: "1+0x240"},
		"AnsimFewTextsInTime":    {`ansim_commit_to_accepted_seconds_bucket{le="10.0",instance="a"}`: "0+90x240"},
		"AnsimSlowDrain":         {`ansim_drain_seconds{instance="a"}`: "+Inf+0x240"},
		"AnsimPersonNeeded":      {`ansim_messages_waiting{state="person",instance="a"}`: "1+0x240"},
		"AnsimUnknownOld":        {`ansim_messages_oldest_seconds{state="unknown",instance="a"}`: "1801+0x240"},
		"AnsimDuplicates":        {`ansim_duplicate_texts_total{instance="a"}`: "3+0x230 4+0x9"},
		"AnsimOversold":          {`ansim_oversold_slots{instance="a"}`: "1+0x240"},
		"AnsimProviderRefusesUs": {`ansim_notifiers{state="refused",instance="a"}`: "1+0x240"},
		"AnsimProviderAway":      {`ansim_notifiers{state="away",instance="a"}`: "2+0x240", `ansim_notifiers{state="ok",instance="a"}`: "0+0x240"},
		"AnsimUnlistedCode":      {`ansim_provider_codes_total{code="unlisted",disposition="permanent",instance="a"}`: "0+0x230 1+0x9"},
		"AnsimDown":              {`ansim_broker_up{instance="a"}`: "", `ansim_booking_queue{instance="a"}`: ""},
		"AnsimDatabaseAway":      {`ansim_database_up{instance="b"}`: "0+0x240"},
		"AnsimNoApi":             {`ansim_booking_queue{instance="a"}`: ""},
		"AnsimNoNotifier":        {`ansim_notifiers{state="ok",instance="a"}`: "0+0x240"},
		"AnsimNoRelayLeads":      {`ansim_relay_leading{instance="a"}`: "0+0x240"},
		"AnsimRelayRefused":      {`ansim_relay_failing{instance="a"}`: "1+0x240"},
		"AnsimOutboxLate":        {`ansim_outbox_oldest_seconds{instance="a"}`: "31+0x240"},
		"AnsimBrokerAway":        {`ansim_broker_up{instance="a"}`: "0+0x240"},
		"AnsimConsumerLag":       {`ansim_consumer_lag_records{partition="0",instance="a"}`: "10001+0x240"},
		"AnsimSweeperRescues":    {`ansim_sweeper_rescued_total{instance="a"}`: "7+0x230 9+0x9"},
		"AnsimParkedEvents":      {`ansim_parked_events{instance="a"}`: "1+0x240"},
		"AnsimTaskStuck":         {`ansim_job_last_round_timestamp_seconds{task="relay",instance="b"}`: "3000+0x240"},
		"AnsimOverloaded":        {`ansim_http_requests_total{route="POST /v1/reservations",status="503",instance="a"}`: "4+45x240"},
		"AnsimErrors":            {`ansim_http_requests_total{route="POST /v1/reservations",status="500",instance="a"}`: "0+0x230 1+0x9"},
	}
	harmless := map[string]map[string]string{
		"refusals with codes that are known": {`ansim_provider_codes_total{code="30007",disposition="later",instance="a"}`: "0+1x240"},
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && loud[r.Alert] == nil {
				t.Errorf("%s is not tried", r.Alert)
			}
		}
	}
	for _, version := range []func(load string) string{prometheus3, prometheus2} {
		if rung := ringing(t, version(quiet)); len(rung) > 0 {
			t.Errorf("on a quiet night ring %v", rung)
		}
		// A relay cannot lead without the database, and what only the database tells is absent.
		away := map[string]string{`ansim_relay_leading{instance="a"}`: "0+0x240", `ansim_database_up{instance="a"}`: "0+0x240", `ansim_database_up{instance="b"}`: "0+0x240"}
		for _, line := range strings.Split(quiet, "\n") {
			series, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch name, _, _ := strings.Cut(series, "{"); {
			case slices.Contains(ofDatabase, name):
				away[series] = ""
			case name == "ansim_job_last_round_timestamp_seconds":
				away[series] = "-9000+0x240"
			}
		}
		if rung := ringing(t, version(changed(quiet, away))); !slices.Equal(rung, []string{"AnsimDatabaseAway"}) {
			t.Errorf("while the database is away ring %v", rung)
		}
		for what, changes := range harmless {
			if rung := ringing(t, version(changed(quiet, changes))); len(rung) > 0 {
				t.Errorf("%s: ring %v", what, rung)
			}
		}
		for _, route := range []string{"/r", "/console", "POST /v1/providers/twilio/status/{token}"} {
			load := version(changed(quiet, map[string]string{`ansim_http_requests_total{route="` + route + `",status="500",instance="a"}`: "0+0x230 1+0x9"}))
			if rung := ringing(t, load); !slices.Equal(rung, []string{"AnsimErrors"}) {
				t.Errorf("at the first 500 of %s ring %v", route, rung)
			}
		}
		for _, line := range strings.Split(quiet, "\n") {
			series, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			stuck := "3000+0x240"
			switch {
			case !strings.HasPrefix(series, "ansim_job_last_round"):
				continue
			case strings.Contains(series, "retention"):
				stuck = "-7500+0x240"
			}
			if rung := ringing(t, version(changed(quiet, map[string]string{series: stuck}))); !slices.Equal(rung, []string{"AnsimTaskStuck"}) {
				t.Errorf("with %s stuck ring %v", series, rung)
			}
		}
		for alarm, changes := range loud {
			load := version(changed(quiet, changes))
			if rung := ringing(t, load); !slices.Contains(rung, alarm) {
				t.Errorf("%s does not ring; what rings is %v", alarm, rung)
			}
		}
	}
}

// ofDatabase are figures that a process shows only while the database answers.
var ofDatabase = []string{"ansim_oldest_unconfirmed_seconds", "ansim_messages_waiting", "ansim_messages_oldest_seconds", "ansim_parked_events",
	"ansim_drain_seconds", "ansim_notifiers", "ansim_sending_frozen", "ansim_outbox_oldest_seconds"}

func prometheus3(load string) string { return load }

// prometheus2 stores a bucket's bound as the process writes it, without .0 at a whole number's end.
func prometheus2(load string) string {
	return regexp.MustCompile(`le="([0-9]+)\.0"`).ReplaceAllString(load, `le="$1"`)
}

// changed is a load with other values for some series; "" takes a series away.
func changed(load string, changes map[string]string) string {
	lines := strings.Split(load, "\n")
	for series, values := range changes {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "\t"+series) })
		switch {
		case i < 0:
			lines = append(lines[:len(lines)-1], "\t"+series+" "+values, "")
		case values == "":
			lines = slices.Delete(lines, i, i+1)
		default:
			lines[i] = "\t" + series + " " + values
		}
	}
	return strings.Join(lines, "\n")
}

// ringing are the alarms that ring after an hour of these figures: those whose expressions, recorded ones included, have held for as
// long as they have to.
func ringing(t *testing.T, load string) (out []string) {
	t.Helper()
	groups := rules(t)
	expand := regexp.MustCompile(`ansim:[a-z0-9_:]+`)
	recorded := map[string]string{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				recorded[r.Record] = "(" + r.Expr + ")"
			}
		}
	}
	store := promqltest.LoadedStorage(t, load)
	defer store.Close()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			expr := expand.ReplaceAllStringFunc(r.Expr, func(name string) string { return recorded[name] })
			const step = 15 * time.Second
			hold, end := time.Duration(r.For), time.Unix(3600, 0)
			q, err := engine.NewRangeQuery(t.Context(), store, nil, expr, end.Add(-hold), end, step)
			if err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			held, err := q.Exec(t.Context()).Matrix()
			if err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			if slices.ContainsFunc(held, func(s promql.Series) bool { return len(s.Floats) == 1+int(hold/step) }) {
				out = append(out, r.Alert)
			}
			q.Close()
		}
	}
	return out
}
