package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	outboxkafka "ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	kafkatest "ansim/test/kafka"
)

// rushLimit is how long a night may take. On servers it goes by the default look-ups: a text whose request had not left a killed
// notifier waits for the lease of a minute and the last look, three minutes later, and goes out 4 min 1 s after the kill. The
// rest is for what comes before and after it.
const rushLimit = 6 * time.Minute

// night is what `rush --json` says last.
type night struct {
	People, Came, Booked, Told, Duplicates, Oversold, Lost, Phantoms, Violations int
	NoAnswer                                                                     int `json:"no_answer"`
	NotTold                                                                      int `json:"not_told"`
	OK, Interrupted                                                              bool
}

// rush plays a night to its end.
func rush(t *testing.T, env []string, args ...string) (*process, night) {
	t.Helper()
	p := start(t, "rush", env, append([]string{"rush", "--json"}, args...)...)
	if !p.wait(rushLimit) {
		t.Fatal("the night does not end")
	}
	lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
	var n night
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &n); err != nil {
		t.Fatalf("the last line is no JSON: %v", err)
	}
	return p, n
}

func (n night) went(t *testing.T, p *process, people int) {
	t.Helper()
	if p.cmd.ProcessState.ExitCode() != 0 || !n.OK || n.Came != people || n.Booked < people*9/10 || n.Told == 0 || n.NotTold+n.NoAnswer+n.Duplicates+n.Oversold+
		n.Lost+n.Phantoms+n.Violations != 0 {
		t.Errorf("exit %d, %+v", p.cmd.ProcessState.ExitCode(), n)
	}
	// What is told meanwhile is whole at the end, of the processes that were killed, too.
	told := regexp.MustCompile(`booked (\d+), refused \d+; published (\d+), texted (\d+), delivered (\d+)`).FindAllStringSubmatch(p.out.String(), -1)
	if len(told) == 0 {
		t.Fatal("nobody was told how far the night was")
	}
	for i, step := range told[len(told)-1][1:] {
		if done, err := strconv.Atoi(step); err != nil || done < n.Booked {
			t.Errorf("of %d bookings %d had done step %d when the night was over", n.Booked, done, i)
		}
	}
}

// TestRush: a small night with everything embedded, and its report in a browser.
func TestRush(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "night.html")
	p, n := rush(t, nil, "--people", "300", "--over", "8s", "--report", report)
	n.went(t, p, 300)
	t.Run("report", func(t *testing.T) {
		// Not before the night has ended: browserLimit, which begins here, is for the page alone.
		b := newBrowser(t, "rush").withAxe()
		b.goes(chromedp.Navigate("file://" + report))
		b.says("300 people came at once", "93 hours", "a text about it was sent for every one of them", "is killed, and started again", "promises were checked, and", "I14, that the topic and the outbox hold the same events, was not asked about.")
		b.looked("report")
	})
}

// TestRushOnServers: several processes on PostgreSQL and an Apache Kafka that wants TLS and a login, one killed and one more
// started meanwhile.
func TestRushOnServers(t *testing.T) {
	t.Parallel()
	broker := kafkatest.StartSecure(t)
	p, n := rush(t, broker.Environ(), "--people", "400", "--over", "8s", "--database-url", dbtest.PostgresURL(t), "--kafka", broker.Addr)
	n.went(t, p, 400)
	if out := p.out.String(); !strings.Contains(out, "one notifier more is started") || strings.Contains(out, "could not be done") {
		t.Errorf("not all faults were brought about:\n%s", out)
	} else if !strings.Contains(out, "promises were checked") || strings.Contains(out, "I14") {
		t.Errorf("the topic was not held against the outbox:\n%s", out)
	}
}

// TestARushThatIsStopped: Ctrl-C in the middle still leaves a report, which says so.
func TestARushThatIsStopped(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "night.html")
	p := start(t, "rush", nil, "rush", "--people", "2000", "--over", "1m", "--faults", "none", "--report", report)
	await(t, rushLimit, "somebody has a text", func() error {
		for line := range strings.Lines(p.out.String()) {
			if strings.Contains(line, "texted") && !strings.Contains(line, "texted 0") {
				return nil
			}
		}
		return errors.New("nobody has one")
	})
	p.signal(syscall.SIGINT)
	if !p.wait(rushLimit) {
		t.Fatal("it does not end")
	}
	page, err := os.ReadFile(report)
	if err != nil || !strings.Contains(string(page), "stopped before its end") || strings.Contains(string(page), "every one of them") {
		t.Errorf("the report does not say that the night was stopped: %v", err)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.out.String(), "stopped before its end") {
		t.Errorf("exit %d", code)
	}
}

// TestWhatARushRefuses before it starts anything: what it could harm, and what it could not finish.
func TestWhatARushRefuses(t *testing.T) {
	t.Parallel()
	const kafka = "127.0.0.1:1"
	used, keys, older, foreign := dbtest.PostgresURL(t), dbtest.PostgresURL(t), dbtest.PostgresURL(t), dbtest.PostgresURL(t)
	for _, url := range []string{used, keys, older} {
		if r := run(t, []string{"ANSIM_DATABASE_URL=" + url}, "migrate"); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	for url, change := range map[string]string{
		used: `INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
			VALUES ('p', 'p', 'p', 'p', 'p', 'Asia/Seoul', now(), now() + interval '1 day', now())`,
		keys:    `INSERT INTO staff (id, name, folded, role, password, created_at, changed_at) VALUES (gen_random_uuid(), 'a', 'a', 'viewer', 'x', now(), now())`,
		foreign: `CREATE TABLE customers AS SELECT 1 AS id`,
		older:   `DELETE FROM goose_db_version WHERE version_id = (SELECT MAX(version_id) FROM goose_db_version)`,
	} {
		db, err := sqldb.Open(t.Context(), url, sqldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	brokers := kafkatest.Embedded(t)
	if err := outboxkafka.EnsureTopics(t.Context(), outboxkafka.At(brokers), outboxkafka.TopicOptions{}); err != nil {
		t.Fatal(err)
	}
	publisher, err := outboxkafka.NewPublisher(outboxkafka.At(brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	await(t, time.Minute, "an event is published", func() error {
		return publisher.Publish(t.Context(), []event.Event{{ID: uuid.NewString(), Type: event.Booked, ReservationID: uuid.NewString(),
			Version: 1, Recipients: []event.Recipient{event.Resident}, Time: time.Now()}})
	})
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a topic in use":                {[]string{"--database-url", dbtest.PostgresURL(t), "--kafka", brokers}, 1, "is in use: it holds"},
		"no broker there":               {[]string{"--database-url", dbtest.PostgresURL(t), "--kafka", kafka}, 1, "look at Kafka"},
		"a database in use":             {[]string{"--database-url", used, "--kafka", kafka}, 1, "the database is in use"},
		"a database with staff":         {[]string{"--database-url", keys, "--kafka", kafka}, 1, "the database is in use"},
		"a database of something else":  {[]string{"--database-url", foreign, "--kafka", kafka}, 1, "it holds 1 tables"},
		"a database of another version": {[]string{"--database-url", older, "--kafka", kafka}, 1, "of another version"},
		"another machine":               {[]string{"--database-url", "postgres://db.internal/rush", "--kafka", kafka}, 2, "is not this machine"},
		"nowhere to write":              {[]string{"--report", filepath.Join(t.TempDir(), "no", "such", "folder", "x.html")}, 2, "cannot be written"},
		"another machine, half said":    {[]string{"--database-url", "postgres:///rush", "--kafka", kafka}, 2, "is not this machine"},
		"a folder":                      {[]string{"--report", t.TempDir()}, 2, "cannot be written"},
		"nobody":                        {[]string{"--people", "0"}, 2, "--people"},
		"fewer than nobody":             {[]string{"--people", "-3"}, 2, "--people"},
		"no such faults":                {[]string{"--faults", "some"}, 2, "--faults"},
	} {
		temp := t.TempDir()
		r := run(t, []string{"PGHOST=db.internal", "TMPDIR=" + temp}, append([]string{"rush"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: exit %d, %q", name, r.code, r.stderr)
		}
		if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: it leaves %v", name, left)
		}
		if strings.Contains(r.stdout, "the gate opens") {
			t.Errorf("%s: it began nevertheless: %s", name, fmt.Sprint(c.args))
		}
	}
	db, err := sqldb.Open(t.Context(), foreign, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.Peek(t.Context(), &tables, `SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'`); err != nil || tables != 1 {
		t.Errorf("a database of something else has %d tables now, had 1: %v", tables, err)
	}
}
