package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ansim/test/dbtest"
)

// without is env without the variables named.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}

// with is env with a variable set to something else.
func with(env []string, sets ...string) []string {
	for _, set := range sets {
		name, _, _ := strings.Cut(set, "=")
		env = append(without(env, name), set)
	}
	return env
}

// serveEnv are settings with which serve starts on a folder of its own; nobody listens where the provider should be.
func serveEnv(t *testing.T) []string {
	return []string{"ANSIM_SECRET=" + secret, "ANSIM_DATA=" + filepath.Join(t.TempDir(), "data"), "ANSIM_ADDR=127.0.0.1:0",
		"TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000", "TWILIO_AUTH_TOKEN=token", "ANSIM_TWILIO_FROM=+15005550006",
		"ANSIM_TWILIO_BASE_URL=http://127.0.0.1:1"}
}

// TestRefusals holds what people see who use it wrongly: the exit code, and a sentence on stderr with what to do next.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const nowhere = "postgres://nobody:hidden-password@127.0.0.1:1/none?sslmode=disable"
	for _, c := range []struct {
		name string
		args string
		env  func([]string) []string
		code int
		says []string
	}{
		{"no secret", "serve", func(e []string) []string { return without(e, "ANSIM_SECRET") }, 1, []string{"ANSIM_SECRET", "openssl rand -hex 32"}},
		{"short secret", "serve", func(e []string) []string { return with(e, "ANSIM_SECRET=abcd") }, 1, []string{"ANSIM_SECRET", "64 digits"}},
		{"no account", "serve", func(e []string) []string { return without(e, "TWILIO_ACCOUNT_SID") }, 1, []string{"TWILIO_ACCOUNT_SID"}},
		{"empty token", "serve", func(e []string) []string { return with(e, "TWILIO_AUTH_TOKEN=") }, 1, []string{"TWILIO_AUTH_TOKEN"}},
		{"partial roles on SQLite", "serve --roles api", nil, 2, []string{"one process", "ANSIM_DATABASE_URL"}},
		{"partial roles on SQLite with Kafka", "serve --roles relay,notifier --kafka-brokers 127.0.0.1:1", nil, 2, []string{"one process"}},
		{"no such role", "serve --roles api,sender", nil, 2, []string{"sender", "api, relay, notifier"}},
		{"PostgreSQL with the embedded broker", "serve --database-url " + nowhere, nil, 2, []string{"ANSIM_KAFKA_BROKERS"}},
		{"brokers that are none", "serve --kafka-brokers here --database-url " + nowhere, nil, 2, nil},
		{"in the clear to the embedded broker", "serve --pprof-addr 0.0.0.0:6060", func(e []string) []string { return with(e, "ANSIM_KAFKA_TLS=off") }, 2,
			[]string{"ANSIM_PPROF_ADDR"}},
		{"half a login", "serve --kafka-brokers 127.0.0.1:1 --database-url " + nowhere, func(e []string) []string { return with(e, "ANSIM_KAFKA_USER=ansim") }, 2,
			[]string{"ANSIM_KAFKA_PASSWORD"}},
		{"a password in the clear", "serve --kafka-brokers 127.0.0.1:1 --database-url " + nowhere, func(e []string) []string {
			return with(e, "ANSIM_KAFKA_USER=ansim", "ANSIM_KAFKA_PASSWORD=hidden-password", "ANSIM_KAFKA_MECHANISM=PLAIN")
		}, 2, []string{"ANSIM_KAFKA_TLS=on", "SCRAM-SHA-512"}},
		{"no such way to log in", "serve --kafka-brokers 127.0.0.1:1 --database-url " + nowhere, func(e []string) []string {
			return with(e, "ANSIM_KAFKA_USER=ansim", "ANSIM_KAFKA_PASSWORD=hidden-password", "ANSIM_KAFKA_MECHANISM=scram")
		}, 2, []string{"ANSIM_KAFKA_MECHANISM", "SCRAM-SHA-512"}},
		{"a way to log in for nobody", "check --kafka 127.0.0.1:1", func(e []string) []string { return with(e, "ANSIM_KAFKA_MECHANISM=PLAIN") }, 2,
			[]string{"ANSIM_KAFKA_USER"}},
		{"neither on nor off", "check --kafka 127.0.0.1:1", func(e []string) []string { return with(e, "ANSIM_KAFKA_TLS=yes") }, 2, []string{"on or off"}},
		{"an authority without TLS", "check --kafka 127.0.0.1:1", func(e []string) []string { return with(e, "ANSIM_KAFKA_CA_FILE=ca.pem") }, 2,
			[]string{"ANSIM_KAFKA_TLS=on"}},
		{"no such authority", "rush --database-url " + nowhere + " --kafka 127.0.0.1:1", func(e []string) []string {
			return with(e, "ANSIM_KAFKA_TLS=on", "ANSIM_KAFKA_CA_FILE=nowhere.pem")
		}, 1, []string{"ANSIM_KAFKA_CA_FILE", "nowhere.pem"}},
		{"half a certificate", "check --kafka 127.0.0.1:1", func(e []string) []string { return with(e, "ANSIM_KAFKA_TLS=on", "ANSIM_KAFKA_CERT_FILE=nowhere.pem") }, 2,
			[]string{"ANSIM_KAFKA_KEY_FILE"}},
		{"TLS to the embedded broker", "serve", func(e []string) []string { return with(e, "ANSIM_KAFKA_TLS=on") }, 2, []string{"ANSIM_KAFKA_BROKERS"}},
		{"no database there", "serve --kafka-brokers 127.0.0.1:1 --database-url " + nowhere, nil, 1, nil},
		{"no such kind of database", "serve --database-url mysql://127.0.0.1/x", nil, 1, []string{"sqlite:", "postgres://"}},
		{"no tables and no migration", "serve", func(e []string) []string { return with(e, "ANSIM_MIGRATE=off") }, 1, []string{"migrate"}},
		{"bad public URL", "serve --public-url example.org", nil, 1, []string{"ANSIM_PUBLIC_URL"}},
		{"bad look-ups", "serve --reconcile 5s,1s", nil, 2, []string{"ANSIM_RECONCILE"}},
		{"keeping too little", "serve --keep 24h", nil, 2, []string{"ANSIM_KEEP", "192h"}},
		{"profiles for everybody", "serve --pprof-addr 0.0.0.0:6060", nil, 2, []string{"ANSIM_PPROF_ADDR", "127.0.0.1"}},
		{"unknown flag", "serve --no-such-flag", nil, 2, []string{"--no-such-flag", "--help"}},
		{"unknown command", "reserve", nil, 2, []string{"reserve", "--help"}},
		{"no people", "demo --people 0", nil, 2, []string{"--people"}},
		{"JSON of a demo that stays", "demo --json", nil, 2, []string{"--once"}},
		{"no such file", "programme apply nowhere.yaml", nil, 2, []string{"nowhere.yaml"}},
		{"check of nothing", "check", nil, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := serveEnv(t)
			if c.env != nil {
				env = c.env(env)
			}
			r := run(t, env, strings.Fields(c.args)...)
			if r.code != c.code {
				t.Errorf("exit %d, not %d", r.code, c.code)
			}
			for _, s := range c.says {
				if !strings.Contains(r.stderr, s) {
					t.Errorf("stderr does not say %q", s)
				}
			}
			if strings.TrimSpace(r.stderr) == "" || strings.Contains(r.stderr, "goroutine ") {
				t.Error("stderr has no sentence for people")
			}
			if strings.Contains(r.stderr, "hidden-password") {
				t.Error("stderr shows a password")
			}
			if t.Failed() {
				t.Logf("stderr:\n%s", r.stderr)
			}
		})
	}
}

func TestSecondServeOnOneFolderIsRefused(t *testing.T) {
	t.Parallel()
	env := serveEnv(t)
	first := start(t, "first serve", env, "serve")
	first.line(first.out, "ansim serves at")
	r := run(t, env, "serve")
	if r.code != 2 || !strings.Contains(r.stderr, "another ansim serves from") {
		t.Errorf("exit %d, stderr:\n%s", r.code, r.stderr)
	}
	first.stop()
	again := start(t, "serve again", env, "serve")
	again.line(again.out, "ansim serves at")
	again.stop()
}

func TestAnotherSecretIsRefused(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string]func(t *testing.T) []string{
		"sqlite": func(*testing.T) []string { return nil },
		"postgres": func(t *testing.T) []string {
			return []string{"ANSIM_DATABASE_URL=" + dbtest.PostgresURL(t), "ANSIM_KAFKA_BROKERS=127.0.0.1:1"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(serveEnv(t), extra(t)...)
			first := start(t, "serve", env, "serve")
			first.line(first.out, "ansim serves at")
			first.stop()
			r := run(t, with(env, "ANSIM_SECRET="+strings.Repeat("ab", 32)), "serve")
			if r.code != 1 || !strings.Contains(r.stderr, "ANSIM_SECRET") {
				t.Errorf("exit %d, stderr:\n%s", r.code, r.stderr)
			}
		})
	}
}

// Migrations are a step of their own where people want it: a dry run says what it would do, and does not.
func TestMigrateOnItsOwn(t *testing.T) {
	t.Parallel()
	env := with(serveEnv(t), "ANSIM_MIGRATE=off")
	data := strings.TrimPrefix(env[slices.IndexFunc(env, func(v string) bool { return strings.HasPrefix(v, "ANSIM_DATA=") })], "ANSIM_DATA=")
	env = append(env, "ANSIM_DATABASE_URL=sqlite:"+filepath.Join(filepath.Dir(data), "ansim.db"))
	for _, step := range []struct {
		args, says string
	}{
		{"migrate --dry-run", "would migrate"}, {"migrate --dry-run", "would migrate"}, {"migrate", "migrated"},
		{"migrate", "nothing to migrate"},
	} {
		r := run(t, env, strings.Fields(step.args)...)
		if r.code != 0 || !strings.Contains(r.stdout, step.says) {
			t.Errorf("%s: exit %d, says %q and not %q", step.args, r.code, r.stdout+r.stderr, step.says)
		}
	}
	p := start(t, "serve", env, "serve")
	p.line(p.out, "ansim serves at")
	p.stop()
}
