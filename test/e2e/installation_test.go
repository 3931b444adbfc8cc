package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ansim/test/dbtest"
	kafkatest "ansim/test/kafka"
)

// secret is the installation's; any 32 bytes will do.
const secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// looks are the reconciler's, shorter than in production: the network answers from the same machine.
const looks = "1s,2s,4s,8s"

// capacity of each slot.
const capacity = 100

// installation is one ansim: a phone network, a database, a broker, and the front.
type installation struct {
	t      testing.TB
	env    []string
	front  *front
	phones *process
	net    string // the network's URL
	log    string // the network's log file
	key    string
	slots  []string
	client *http.Client
}

// embedded is an installation on SQLite and the embedded broker.
func embedded(t testing.TB) *installation {
	t.Helper()
	return install(t, "ANSIM_DATA="+filepath.Join(t.TempDir(), "data"))
}

// onServers is an installation on PostgreSQL and broker.
func onServers(t testing.TB, broker kafkatest.Cluster) *installation {
	t.Helper()
	return install(t, "ANSIM_DATABASE_URL="+dbtest.PostgresURL(t), "ANSIM_KAFKA_BROKERS="+broker.Addr())
}

func install(t testing.TB, env ...string) *installation {
	t.Helper()
	in := &installation{t: t, front: openFront(t), client: clientOf(t)}
	in.env = append([]string{"ANSIM_SECRET=" + secret, "ANSIM_PUBLIC_URL=" + in.front.url, "ANSIM_RECONCILE=" + looks}, env...)
	data := filepath.Join(t.TempDir(), "sandbox")
	in.log = filepath.Join(data, "texts.ndjson")
	in.phones = start(t, "sandbox", nil, "sandbox", "--addr", "127.0.0.1:0", "--data", data)
	for _, name := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "ANSIM_TWILIO_FROM", "ANSIM_TWILIO_BASE_URL"} {
		_, set, _ := strings.Cut(in.phones.line(in.phones.out, "export "+name+"="), "export ")
		in.env = append(in.env, set)
	}
	_, in.net, _ = strings.Cut(in.phones.line(in.phones.out, "The phones: "), "The phones: ")
	in.net = strings.TrimSuffix(in.net, "/")
	return in
}

// prepare loads the programme, with its window open now, and makes an API key. The database must have its tables.
func (in *installation) prepare() {
	in.t.Helper()
	in.apply(strings.NewReplacer())
	r := run(in.t, in.env, "keys", "create", "--name", "e2e")
	in.key = strings.TrimSuffix(r.stdout, "\n")
	if r.code != 0 || in.key == "" || strings.ContainsAny(in.key, " \n") {
		in.t.Fatalf("keys create: exit %d, and stdout is not one key alone: %d bytes\n%s", r.code, len(r.stdout), r.stderr)
	}
}

// apply loads the programme, named differently by other; its slots are those that crowds ask for from then on.
func (in *installation) apply(other *strings.Replacer) {
	in.t.Helper()
	file := filepath.Join(in.t.TempDir(), "programme.yaml")
	text, slots := programme(time.Now(), 40)
	if err := os.WriteFile(file, []byte(other.Replace(text)), 0o600); err != nil {
		in.t.Fatal(err)
	}
	in.slots = nil
	for _, id := range slots {
		in.slots = append(in.slots, other.Replace(id))
	}
	if r := run(in.t, in.env, "programme", "apply", file); r.code != 0 {
		in.t.Fatalf("programme apply: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// programme is a file as the README shows it, whose window contains now and whose n slots are in the days to come.
func programme(now time.Time, n int) (string, []string) {
	var b strings.Builder
	fmt.Fprintf(&b, `id: covid-2021-50s
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: %s
closes_at: %s
rules:
  - {id: born-1967-1968, born_from: 1967-01-01, born_to: 1968-12-31}
sites:
  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}
slots:
`, now.Add(-time.Hour).Format(time.RFC3339), now.Add(48*time.Hour).Format(time.RFC3339))
	first := now.Add(72 * time.Hour).Truncate(time.Hour)
	slots := make([]string, n)
	for i := range slots {
		slots[i] = fmt.Sprintf("gangnam-%02d", i)
		fmt.Fprintf(&b, "  - {id: %s, site: gangnam, starts_at: %s, capacity: %d}\n", slots[i],
			first.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), capacity)
	}
	return b.String(), slots
}

// serve starts a serving process and waits until it is up.
func (in *installation) serve(roles string) *process {
	in.t.Helper()
	p := in.begin(roles)
	in.up(p)
	return p
}

// begin starts a serving process and does not wait for it.
func (in *installation) begin(roles string) *process {
	in.t.Helper()
	return start(in.t, "serve "+roles, in.env, "serve", "--addr", "127.0.0.1:0", "--roles", roles)
}

// up waits until a serving process is up. If it has the role api, the front leads to it from then on.
func (in *installation) up(p *process) {
	in.t.Helper()
	p.line(p.out, "ansim serves at "+in.front.url)
	if strings.Contains(p.name, "api") {
		in.front.leadTo(p.addr())
	}
}

// addr is where a serving process listens.
func (p *process) addr() string {
	p.t.Helper()
	var up struct {
		Listens string `json:"listens"`
	}
	if err := json.Unmarshal([]byte(p.line(p.err, `"ansim is up"`)), &up); err != nil || up.Listens == "" {
		p.t.Fatalf("%s does not say where it listens: %v", p.name, err)
	}
	return up.Listens
}

// readiness is /readyz of a serving process.
type readiness struct {
	Status  string            `json:"status"`
	Checks  map[string]string `json:"checks"`
	Leading *bool             `json:"relay_leading"`
}

// ready asks a serving process how it is. It must answer 200, whatever its broker does; only a database that is slow may keep it
// from that, for as long as it is.
func (in *installation) ready(p *process) (r readiness) {
	in.t.Helper()
	await(in.t, time.Minute, p.name+" is ready", func() error {
		a, err := in.page("http://" + p.addr() + "/readyz")
		if err != nil {
			in.t.Fatalf("readiness of %s: %v", p.name, err)
		}
		a.decode(in.t, &r)
		switch {
		case a.status == http.StatusOK:
			return nil
		case a.status != http.StatusServiceUnavailable || r.Checks["database"] == "ok":
			in.t.Fatalf("readiness of %s: status %d: %s", p.name, a.status, a.body)
		}
		return errNotYet
	})
	return r
}

// leads says whether a process has the relay's lead.
func (in *installation) leads(p *process) bool {
	in.t.Helper()
	l := in.ready(p).Leading
	return l != nil && *l
}

// all are the roles of one process that does everything.
const all = "api,relay,notifier"

// front is the stable address before the processes of the role api, as a load balancer is in production.
type front struct {
	url    string
	target atomic.Pointer[url.URL]
}

func openFront(t testing.TB) *front {
	f := &front{}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(f.target.Load()); r.Out.Host = r.In.Host },
		Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.target.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); transport.CloseIdleConnections() })
	f.url = srv.URL
	return f
}

func (f *front) leadTo(addr string) { f.target.Store(&url.URL{Scheme: "http", Host: addr}) }

// fault sets one rule of the phone network.
func (in *installation) fault(rules string) {
	in.t.Helper()
	req, err := http.NewRequestWithContext(in.t.Context(), http.MethodPut, in.net+"/sandbox/faults", strings.NewReader(rules))
	if err != nil {
		in.t.Fatal(err)
	}
	res, err := in.client.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode >= 300 {
		in.t.Fatalf("set faults: status %d: %s", res.StatusCode, b)
	}
}

// page reads a page of one of the processes.
func (in *installation) page(rawURL string) (answer, error) {
	req, err := http.NewRequestWithContext(in.t.Context(), http.MethodGet, rawURL, nil)
	if err != nil {
		return answer{}, err
	}
	return in.do(req)
}

// clientOf is an HTTP client whose connections end with the test.
func clientOf(t testing.TB) *http.Client {
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}
