package monitoring

import (
	"context"
	"encoding/json"
	"errors"
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

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

const shipped = "../../cmd/app/monitoring/"

// shown is what a process shows at /metrics, as Prometheus 3 stores it.
type shown struct {
	families map[string]bool // by name; of a histogram without _bucket, _count and _sum
	samples  []sample
}

type sample struct {
	series labels.Labels
	value  float64
}

// find returns the samples that fit all matchers.
func (s shown) find(matchers ...*labels.Matcher) (found []sample) {
	for _, one := range s.samples {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.series.Get(m.Name)) }) {
			found = append(found, one)
		}
	}
	return found
}

func named(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)
}

// live is what a demonstration with everything in one process shows at /metrics, after people were booked and told.
func live(t *testing.T) shown {
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
		is := scrape(ctx, t, url)
		// The last to come are the brokers' offsets, which are looked at every few seconds. While the database is slow, its figures are away.
		if is.families["ansim_consumer_lag_records"] && is.find(named("ansim_database_up"))[0].value == 1 && is.find(named("ansim_commit_to_delivered_seconds_count"))[0].value > 0 {
			return is
		}
		select {
		case <-ctx.Done():
			t.Fatal("the figures are not complete")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// scrape asks and reads as Prometheus does: what it stores is not in everything what is written there.
func scrape(ctx context.Context, t *testing.T, url string) shown {
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
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := textparse.New(body, res.Header.Get("Content-Type"), nil, textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is := shown{families: map[string]bool{}}
	for {
		entry, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return is
		case err != nil:
			t.Fatal(err)
		case entry == textparse.EntryType:
			name, _ := p.Type()
			is.families[string(name)] = true
		case entry == textparse.EntrySeries:
			_, _, value := p.Series()
			var series labels.Labels
			p.Labels(&series)
			is.samples = append(is.samples, sample{series, value})
		}
	}
}

// unborn are labelled figures of which a healthy night shows no series: their names and labels are held against the source of the
// program instead.
var unborn = map[string][]string{
	"ansim_further_attempts_total": {"state"}, "ansim_reconcile_looks_total": {"result"},
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

// base is the figure that a selector's name is of.
func base(name string, is shown) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if of, cut := strings.CutSuffix(name, suffix); cut && is.families[of] {
			return of
		}
	}
	return name
}

// judge holds an expression against the live figures: each that it names is there, with the labels and values that it asks for, also
// those that only rise when something goes wrong: the first 500 would raise no alarm if its series were born with it, since Prometheus
// sees no increase in that. Labels that Prometheus adds are not asked for.
func judge(t *testing.T, where, expr string, is shown, recorded map[string]bool) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			switch {
			case recorded[n.Name], unborn[n.Name] != nil:
			case !is.families[base(n.Name, is)]:
				t.Errorf("%s: there is no figure %s", where, n.Name)
			case len(is.find(n.LabelMatchers...)) == 0:
				t.Errorf("%s: there is never %s", where, n)
			}
		case *parser.AggregateExpr:
			for _, by := range n.Grouping {
				if !grouped(n.Expr, by, is) {
					t.Errorf("%s: nothing in %s has the label %s", where, n.Expr, by)
				}
			}
		}
		return nil
	})
}

// grouped says whether some figure in an expression has a label.
func grouped(e parser.Expr, label string, is shown) (found bool) {
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if n, ok := node.(*parser.VectorSelector); ok {
			found = found || slices.Contains(unborn[n.Name], label) ||
				len(is.find(named(n.Name), labels.MustNewMatcher(labels.MatchNotEqual, label, ""))) > 0
		}
		return nil
	})
	return found
}

// TestEverythingIsAboutLiveFigures holds the alarms, the dashboard and the runbook against each other and against what a process shows.
func TestEverythingIsAboutLiveFigures(t *testing.T) {
	is := live(t)
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
			judge(t, r.Alert+r.Record, r.Expr, is, recorded)
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
	for _, line := range strings.Split(strings.TrimSpace(quiet), "\n")[1:] {
		series, _, _ := strings.Cut(strings.TrimSpace(line), `} `)
		judge(t, "the quiet night", regexp.MustCompile(`,?instance="\w+"`).ReplaceAllString(series, "")+"}", is, recorded)
	}
	for _, beat := range is.find(named("ansim_job_last_round_timestamp_seconds")) {
		task := beat.series.Get("task")
		if !strings.Contains(quiet, `{task="`+task+`",`) {
			t.Errorf("the quiet night lacks the task %s", task)
		}
		_, entry, _ := strings.Cut(string(book), "\n### AnsimTaskStuck\n")
		if entry, _, _ = strings.Cut(entry, "\n### "); !strings.Contains(entry, "`"+task+"`") {
			t.Errorf("the runbook does not say what the task %s is", task)
		}
	}
	ids := map[int]bool{}
	for _, p := range panels(t) {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q: id %d, place %+v, %d targets", p.Title, p.ID, p.GridPos, len(p.Targets))
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			judge(t, "panel "+p.Title, target.Expr, is, recorded)
		}
	}
	// Both ways: a figure that is not explained helps nobody, and one that is explained must be there.
	_, table, _ := strings.Cut(string(book), "\n## Figures\n")
	explained := regexp.MustCompile("`(ansim_\\w+)").FindAllStringSubmatch(table, -1)
	for _, e := range explained {
		if !is.families[e[1]] && unborn[e[1]] == nil {
			t.Errorf("the runbook explains %s, which is not there", e[1])
		}
	}
	for name := range is.families {
		if strings.HasPrefix(name, "ansim_") && !slices.ContainsFunc(explained, func(e []string) bool { return e[1] == name }) {
			t.Errorf("the runbook does not explain %s", name)
		}
	}
}

// TestPanelsShowNobodyElse: figures that every program has, such as its memory, are shown of ansim alone.
func TestPanelsShowNobodyElse(t *testing.T) {
	store := promqltest.LoadedStorage(t, `load 15s
	ansim_broker_up{job="ours",instance="a:1"} 1+0x240
	process_cpu_seconds_total{job="ours",instance="a:1"} 0+1x240
	process_resident_memory_bytes{job="ours",instance="a:1"} 1+0x240
	go_goroutines{job="ours",instance="a:1"} 1+0x240
	process_cpu_seconds_total{job="theirs",instance="a:2"} 0+1x240
	process_resident_memory_bytes{job="theirs",instance="a:2"} 1+0x240
	go_goroutines{job="theirs",instance="a:2"} 1+0x240
`)
	defer store.Close()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	shown := map[string]bool{}
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			q, err := engine.NewInstantQuery(t.Context(), store, nil, target.Expr, time.Unix(3600, 0))
			if err != nil {
				t.Fatalf("panel %s: %v", p.Title, err)
			}
			found, err := q.Exec(t.Context()).Vector()
			if err != nil {
				t.Fatalf("panel %s: %v", p.Title, err)
			}
			for _, s := range found {
				shown[p.Title] = true
				if s.Metric.Get("job") == "theirs" {
					t.Errorf("panel %s shows %s", p.Title, s.Metric)
				}
			}
			q.Close()
		}
	}
	for _, title := range []string{"CPU", "Memory", "Goroutines"} {
		if !shown[title] {
			t.Errorf("panel %s shows nothing", title)
		}
	}
}
