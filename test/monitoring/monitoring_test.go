package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

const shipped = "../../cmd/app/monitoring/"

// live is what a demonstration with everything in one process shows at /metrics, after people were booked and told.
func live(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ansim")
	build := exec.Command("go", "build", "-o", binary, "./cmd/ansim")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	demo := exec.CommandContext(ctx, binary, "demo", "--people", "5", "--addr", "127.0.0.1:0", "--data", t.TempDir())
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) }
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = demo.Process.Signal(os.Interrupt)
		_ = demo.Wait()
	}()
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)
	var url string
	read, buf := "", make([]byte, 4096)
	for url == "" || !strings.Contains(read, "delivered") {
		n, err := out.Read(buf)
		read += string(buf[:n])
		if url = address.FindString(read); err != nil {
			t.Fatalf("the demonstration ended: %v\n%s", err, read)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for {
		families := scrape(ctx, t, url)
		// The last to come are the brokers' offsets, which are looked at every few seconds.
		if families["ansim_consumer_lag_records"] != nil && families["ansim_commit_to_delivered_seconds"].GetMetric()[0].GetHistogram().GetSampleCount() > 0 {
			return families
		}
		select {
		case <-ctx.Done():
			t.Fatal("the figures are not complete")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func scrape(ctx context.Context, t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
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

// unborn are labelled figures of which a healthy night shows no series: their names and labels are held against the source of the
// program instead.
var unborn = map[string][]string{
	"ansim_provider_codes_total": {"code", "disposition"}, "ansim_further_attempts_total": {"state"}, "ansim_reconcile_looks_total": {"result"},
	"ansim_receipt_polls_total": {"result"}, "ansim_pruned_rows_total": {"table"},
}

func rules(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	text, err := os.ReadFile(shipped + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	return groups
}

type panel struct {
	ID          int `json:"id"`
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	text, err := os.ReadFile(shipped + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title, UID string
		Panels     []panel
	}
	if err := json.Unmarshal(text, &d); err != nil || d.Title == "" || d.UID == "" || len(d.Panels) == 0 {
		t.Fatalf("%v, %q with %d panels", err, d.Title, len(d.Panels))
	}
	return d.Panels
}

// judge holds an expression against the live figures: each that it names is there, with the labels that it asks for, and where it
// asks for a value, with that. Labels that Prometheus adds are not asked for.
func judge(t *testing.T, where, expr string, families map[string]*dto.MetricFamily, recorded map[string]bool) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			if recorded[n.Name] {
				return nil
			}
			base := n.Name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if f := families[strings.TrimSuffix(n.Name, suffix)]; f.GetType() == dto.MetricType_HISTOGRAM {
					base = strings.TrimSuffix(n.Name, suffix)
				}
			}
			if unborn[base] != nil {
				return nil
			}
			if families[base] == nil {
				t.Errorf("%s: there is no figure %s", where, n.Name)
				return nil
			}
			for _, m := range n.LabelMatchers {
				if m.Name != labels.MetricName && !possible(families[base], m) {
					t.Errorf("%s: %s never has %s", where, n.Name, m)
				}
			}
		case *parser.AggregateExpr:
			for _, by := range n.Grouping {
				if !grouped(n.Expr, by, families) {
					t.Errorf("%s: nothing in %s has the label %s", where, n.Expr, by)
				}
			}
		}
		return nil
	})
}

// statuses are values that only come when something goes wrong.
var statuses = map[string]bool{"500": true, "503": true, "unlisted": true}

func possible(f *dto.MetricFamily, m *labels.Matcher) bool {
	if statuses[m.Value] {
		m = labels.MustNewMatcher(labels.MatchNotEqual, m.Name, "")
	}
	for _, series := range f.GetMetric() {
		for _, l := range series.GetLabel() {
			if l.GetName() == m.Name && m.Matches(l.GetValue()) {
				return true
			}
		}
		for _, b := range series.GetHistogram().GetBucket() {
			if m.Name == "le" && m.Matches(fmt.Sprint(b.GetUpperBound())) {
				return true
			}
		}
	}
	return false
}

// grouped says whether some figure in an expression has a label.
func grouped(e parser.Expr, label string, families map[string]*dto.MetricFamily) (found bool) {
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if n, ok := node.(*parser.VectorSelector); ok {
			base := strings.TrimSuffix(strings.TrimSuffix(n.Name, "_bucket"), "_count")
			found = found || slices.Contains(unborn[base], label) ||
				families[base] != nil && possible(families[base], labels.MustNewMatcher(labels.MatchNotEqual, label, ""))
		}
		return nil
	})
	return found
}

// TestEverythingIsAboutLiveFigures holds the alarms, the dashboard and the runbook against each other and against what a process shows.
func TestEverythingIsAboutLiveFigures(t *testing.T) {
	families := live(t)
	recorded := map[string]bool{}
	var alarms []string
	book, err := os.ReadFile(shipped + "RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				recorded[r.Record] = true
			}
		}
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			judge(t, r.Alert+r.Record, r.Expr, families, recorded)
			if r.Alert == "" {
				continue
			}
			alarms = append(alarms, r.Alert)
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if r.Annotations["summary"] == "" {
				t.Errorf("%s says nothing", r.Alert)
			}
			_, entry, _ := strings.Cut(string(book), "\n### "+r.Alert+"\n")
			entry, _, _ = strings.Cut(entry, "\n### ")
			for _, part := range []string{"**Means**", "**Look at**", "**Do**"} {
				if !strings.Contains(entry, part) {
					t.Errorf("the runbook's entry of %s has no %s", r.Alert, part)
				}
			}
		}
	}
	for _, entry := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(string(book), -1) {
		if !slices.Contains(alarms, entry[1]) {
			t.Errorf("the runbook has an entry for %s, which is no alarm", entry[1])
		}
	}
	ids := map[int]bool{}
	for _, p := range panels(t) {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q: id %d, place %+v, %d targets", p.Title, p.ID, p.GridPos, len(p.Targets))
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			judge(t, "panel "+p.Title, target.Expr, families, recorded)
		}
	}
	// Both ways: a figure that is not explained helps nobody, and one that is explained must be there.
	_, table, _ := strings.Cut(string(book), "\n## Figures\n")
	explained := regexp.MustCompile("`(ansim_\\w+)").FindAllStringSubmatch(table, -1)
	for _, e := range explained {
		if families[e[1]] == nil && unborn[e[1]] == nil {
			t.Errorf("the runbook explains %s, which is not there", e[1])
		}
	}
	for name := range families {
		if strings.HasPrefix(name, "ansim_") && !slices.ContainsFunc(explained, func(e []string) bool { return e[1] == name }) {
			t.Errorf("the runbook does not explain %s", name)
		}
	}
}

// TestEveryAlarmRings gives each alarm the figures that it is for, and those of a quiet night, on which none may ring.
func TestEveryAlarmRings(t *testing.T) {
	const quiet = `load 15s
	ansim_oldest_unconfirmed_seconds{instance="a"} 0+0x240
	ansim_sending_frozen{instance="a"} 0+0x240
	ansim_commit_to_accepted_seconds_bucket{le="10",instance="a"} 0+100x240
	ansim_commit_to_accepted_seconds_count{instance="a"} 0+100x240
	ansim_drain_seconds{instance="a"} 1+0x240
	ansim_messages_waiting{state="person",instance="a"} 0+0x240
	ansim_messages_oldest_seconds{state="unknown",instance="a"} 20+0x240
	ansim_duplicate_texts_total{instance="a"} 3+0x240
	ansim_oversold_slots{instance="a"} 0+0x240
	ansim_notifiers{state="ok",instance="a"} 2+0x240
	ansim_notifiers{state="refused",instance="a"} 0+0x240
	ansim_notifiers{state="away",instance="a"} 0+0x240
	ansim_provider_codes_total{code="30007",disposition="later",instance="a"} 0+1x240
	ansim_broker_up{instance="a"} 1+0x240
	ansim_relay_leading{instance="a"} 1+0x240
	ansim_relay_leading{instance="b"} 0+0x240
	ansim_relay_failing{instance="a"} 0+0x240
	ansim_outbox_oldest_seconds{instance="a"} 0+0x240
	ansim_consumer_lag_records{partition="0",instance="a"} 40+0x240
	ansim_consumer_lag_records{partition="0",instance="b"} 40+0x240
	ansim_sweeper_rescued_total{instance="a"} 7+0x240
	ansim_parked_events{instance="a"} 0+0x240
	ansim_job_last_round_timestamp_seconds{task="polls",instance="a"} 0+15x240
	ansim_http_requests_total{route="POST /v1/reservations",status="201",instance="a"} 0+1500x240
	ansim_http_requests_total{route="POST /v1/reservations",status="503",instance="a"} 4+0x240
	ansim_http_requests_total{route="POST /v1/reservations",status="500",instance="a"} 1+0x240
`
	// What is changed of the quiet night; "" takes a figure away.
	loud := map[string]map[string]string{
		"AnsimTextsLate":         {`ansim_oldest_unconfirmed_seconds{instance="a"}`: "0+15x240"},
		"AnsimSendingFrozen":     {`ansim_sending_frozen{instance="a"}`: "1+0x240"},
		"AnsimFewTextsInTime":    {`ansim_commit_to_accepted_seconds_bucket{le="10",instance="a"}`: "0+90x240"},
		"AnsimSlowDrain":         {`ansim_drain_seconds{instance="a"}`: "+Inf+0x240"},
		"AnsimPersonNeeded":      {`ansim_messages_waiting{state="person",instance="a"}`: "1+0x240"},
		"AnsimUnknownOld":        {`ansim_messages_oldest_seconds{state="unknown",instance="a"}`: "1801+0x240"},
		"AnsimDuplicates":        {`ansim_duplicate_texts_total{instance="a"}`: "3+0x230 4+0x9"},
		"AnsimOversold":          {`ansim_oversold_slots{instance="a"}`: "1+0x240"},
		"AnsimProviderRefusesUs": {`ansim_notifiers{state="refused",instance="a"}`: "1+0x240"},
		"AnsimProviderAway":      {`ansim_notifiers{state="away",instance="a"}`: "2+0x240", `ansim_notifiers{state="ok",instance="a"}`: "0+0x240"},
		"AnsimUnlistedCode":      {`ansim_provider_codes_total{code="30007",disposition="later",instance="a"}`: "", `ansim_provider_codes_total{code="unlisted",disposition="later",instance="a"}`: "0+0x230 1+0x9"},
		"AnsimDown":              {`ansim_broker_up{instance="a"}`: ""},
		"AnsimNoNotifier":        {`ansim_notifiers{state="ok",instance="a"}`: "0+0x240"},
		"AnsimNoRelayLeads":      {`ansim_relay_leading{instance="a"}`: "0+0x240"},
		"AnsimRelayRefused":      {`ansim_relay_failing{instance="a"}`: "1+0x240"},
		"AnsimOutboxLate":        {`ansim_outbox_oldest_seconds{instance="a"}`: "31+0x240"},
		"AnsimBrokerAway":        {`ansim_broker_up{instance="a"}`: "0+0x240"},
		"AnsimConsumerLag":       {`ansim_consumer_lag_records{partition="0",instance="a"}`: "10001+0x240"},
		"AnsimSweeperRescues":    {`ansim_sweeper_rescued_total{instance="a"}`: "7+0x230 9+0x9"},
		"AnsimParkedEvents":      {`ansim_parked_events{instance="a"}`: "1+0x240"},
		"AnsimTaskStuck":         {`ansim_job_last_round_timestamp_seconds{task="polls",instance="a"}`: "3000+0x240"},
		"AnsimOverloaded":        {`ansim_http_requests_total{route="POST /v1/reservations",status="503",instance="a"}`: "4+45x240"},
		"AnsimErrors":            {`ansim_http_requests_total{route="POST /v1/reservations",status="500",instance="a"}`: "1+0x230 2+0x9"},
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && loud[r.Alert] == nil {
				t.Errorf("%s is not tried", r.Alert)
			}
		}
	}
	if rung := ringing(t, quiet); len(rung) > 0 {
		t.Errorf("on a quiet night ring %v", rung)
	}
	for alarm, changes := range loud {
		lines := strings.Split(quiet, "\n")
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
		if rung := ringing(t, strings.Join(lines, "\n")); !slices.Contains(rung, alarm) {
			t.Errorf("%s does not ring; what rings is %v", alarm, rung)
		}
	}
}

// ringing are the alarms whose expressions hold after an hour of these figures, recorded ones included.
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
			q, err := engine.NewInstantQuery(t.Context(), store, nil, expr, time.Unix(3600, 0))
			if err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			res := q.Exec(t.Context())
			if v, err := res.Vector(); err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			} else if len(v) > 0 {
				out = append(out, r.Alert)
			}
			q.Close()
		}
	}
	return out
}
