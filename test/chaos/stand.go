package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	"ansim/test/detour"
	kafkatest "ansim/test/kafka"
)

// place is what an installation runs on.
type place string

const (
	embedded place = "embedded" // SQLite and the embedded broker, one process
	servers  place = "servers"  // PostgreSQL and Apache Kafka, processes for each role
)

// looks are the reconciler's, shorter than in production: the network answers from the same machine.
const looks = "1s,2s,4s,8s"

// stand is one installation under test, and all that is done to it.
type stand struct {
	place   place
	sweeper bool
	binary  string
	dir     string
	dice    *rand.Rand // of the schedule alone, and so of one goroutine
	out     io.Writer
	began   time.Time

	env     []string
	phones  *process
	network string // the phone network's URL
	texts   string // its log
	pg      *dbtest.Server
	kafka   *kafkatest.Broker
	onDisk  bool   // the databases are to be on a real disk, since times are measured
	small   string // the file system that can be filled, "" when there is none

	client, provider, broker *detour.Detour
	databases                map[string]*detour.Detour // by role
	front                    *httptest.Server

	members []*member
	db      *sqldb.DB // for the judge and for faults, not by a detour; nil before openDatabase
	key     string
	slots   []slot
	kills   atomic.Int64
	garbage atomic.Int64 // records of the topic that nobody can read
	lossy   atomic.Bool  // an event may have been lost on its way through Kafka, or be late by more than the sweeper waits

	mu       sync.Mutex
	schedule []string
	reached  map[string]int // points at which a process died
	cleanups []func()
}

// slot is one of the programme's.
type slot struct {
	id string
	at time.Time
}

// note writes down what is done, and when.
func (st *stand) note(format string, args ...any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	line := fmt.Sprintf("%7.2fs  ", time.Since(st.began).Seconds()) + fmt.Sprintf(format, args...)
	st.schedule = append(st.schedule, line)
}

func (st *stand) onEnd(f func()) { st.cleanups = append(st.cleanups, f) }

func (st *stand) end() {
	for _, m := range st.members {
		if m.p != nil && !m.p.ended() {
			m.p.kill()
		}
	}
	for _, f := range slices.Backward(st.cleanups) {
		f()
	}
}

// open starts everything, with people's programme open.
func (st *stand) open(ctx context.Context) (err error) {
	st.began, st.reached, st.databases = time.Now(), map[string]int{}, map[string]*detour.Detour{}
	if err := st.openNetwork(ctx); err != nil {
		return err
	}
	if err := st.openFront(); err != nil {
		return err
	}
	var secret [64]byte
	for i := range secret {
		secret[i] = "0123456789abcdef"[rand.IntN(16)]
	}
	st.env = append(st.env, "ANSIM_SECRET="+string(secret[:]), "ANSIM_PUBLIC_URL="+st.front.URL, "ANSIM_RECONCILE="+looks)
	if !st.sweeper {
		st.env = append(st.env, "ANSIM_SWEEPER=off")
	}
	if err := st.openSmall(); err != nil {
		return err
	}
	if st.place == servers {
		if err := st.openServers(); err != nil {
			return err
		}
		st.members = []*member{{st: st, roles: "api"}, {st: st, roles: "api"}, {st: st, roles: "relay"}, {st: st, roles: "relay"},
			{st: st, roles: "notifier"}, {st: st, roles: "notifier"}}
	} else {
		data := filepath.Join(st.parent(), "data")
		st.env = append(st.env, "ANSIM_DATA="+data)
		st.members = []*member{{st: st, roles: "api,relay,notifier"}}
	}
	for i, m := range st.members {
		m.name = fmt.Sprintf("%s-%d", strings.ReplaceAll(m.roles, ",", "+"), i)
	}
	if err := st.startAll(ctx); err != nil {
		return err
	}
	if err := st.openDatabase(ctx); err != nil {
		return err
	}
	return st.openProgramme(ctx)
}

// openSmall makes a small file system for the databases when that is possible, so that it can be filled.
func (st *stand) openSmall() error {
	if os.Getuid() != 0 || st.onDisk {
		return nil
	}
	dir := filepath.Join(st.dir, "small")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := mountSmall(dir, smallMegabytes); err != nil {
		st.note("no small file system: %v", err)
		return nil
	}
	st.small = dir
	st.onEnd(func() { _ = unmount(dir) })
	return os.Chmod(dir, 0o755)
}

// parent is where the databases are.
func (st *stand) parent() string {
	if st.small != "" {
		return st.small
	}
	return st.dir
}

func (st *stand) openNetwork(ctx context.Context) (err error) {
	data := filepath.Join(st.dir, "sandbox")
	st.texts = filepath.Join(data, "texts.ndjson")
	if st.phones, err = launch(st.binary, "sandbox", filepath.Join(st.dir, "sandbox.log"), nil, "sandbox", "--addr", "127.0.0.1:0",
		"--data", data); err != nil {
		return err
	}
	st.onEnd(func() { st.phones.kill() })
	for _, name := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "ANSIM_TWILIO_FROM"} {
		line, err := st.phones.says(ctx, "export "+name+"=", startLimit)
		if err != nil {
			return err
		}
		_, set, _ := strings.Cut(line, "export ")
		st.env = append(st.env, set)
	}
	line, err := st.phones.says(ctx, "The phones: ", startLimit)
	if err != nil {
		return err
	}
	_, st.network, _ = strings.Cut(line, "The phones: ")
	st.network = strings.TrimSuffix(st.network, "/")
	if st.provider, err = detour.Open(strings.TrimPrefix(st.network, "http://")); err != nil {
		return err
	}
	st.onEnd(st.provider.Close)
	st.env = append(st.env, "ANSIM_TWILIO_BASE_URL=http://"+st.provider.Addr())
	return nil
}

// openFront opens the stable address before the processes of the role api, as a load balancer is in production.
func (st *stand) openFront() (err error) {
	var turn atomic.Uint64
	transport := &http.Transport{MaxIdleConnsPerHost: 128, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			host, _ := r.In.Context().Value(targetKey{}).(string)
			r.SetURL(&url.URL{Scheme: "http", Host: host})
			r.Out.Host = r.In.Host
		},
		Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	st.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var up []string
		for _, m := range st.members {
			if a := m.addr.Load(); a != nil && strings.Contains(m.roles, "api") {
				up = append(up, *a)
			}
		}
		if len(up) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), targetKey{}, up[int(turn.Add(1))%len(up)])))
	}))
	st.onEnd(func() { st.front.CloseClientConnections(); st.front.Close(); transport.CloseIdleConnections() })
	if st.client, err = detour.Open(strings.TrimPrefix(st.front.URL, "http://")); err != nil {
		return err
	}
	st.onEnd(st.client.Close)
	return nil
}

type targetKey struct{}

func (st *stand) openServers() error {
	pg, end, err := dbtest.LaunchIn(st.parent())
	if err != nil {
		return err
	}
	st.onEnd(end)
	st.pg = pg
	for _, role := range []string{"api", "relay", "notifier"} {
		d, err := detour.Open("127.0.0.1:" + strconv.Itoa(pg.Port()))
		if err != nil {
			return err
		}
		st.onEnd(d.Close)
		st.databases[role] = d
	}
	dir := filepath.Join(st.dir, "kafka")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if st.broker, err = detour.Open(""); err != nil {
		return err
	}
	st.onEnd(st.broker.Close)
	st.kafka, err = kafkatest.LaunchBehind(dir, func(addr string) string {
		st.broker.Lead(addr)
		return st.broker.Addr()
	})
	if err != nil {
		return err
	}
	st.onEnd(st.kafka.Kill)
	st.env = append(st.env, "ANSIM_KAFKA_BROKERS="+st.kafka.Addr())
	return nil
}

// databaseURL leads straight to the database.
func (st *stand) databaseURL() string {
	if st.place == servers {
		return st.pg.URL()
	}
	return "sqlite:" + filepath.Join(st.parent(), "data", "ansim.db")
}

func (st *stand) openDatabase(ctx context.Context) (err error) {
	if st.db, err = sqldb.Open(ctx, st.databaseURL(), sqldb.Options{ReadOnly: true}); err != nil {
		return err
	}
	st.onEnd(func() { _ = st.db.Close() })
	return nil
}

// command runs one of the binary's commands to its end.
func (st *stand) command(ctx context.Context, args ...string) (stdout []byte, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, st.binary, args...)
	cmd.Env, cmd.SysProcAttr = append(foreign(), st.env...), dieWithUs()
	if st.place == servers {
		cmd.Env = append(cmd.Env, "ANSIM_DATABASE_URL="+st.databaseURL())
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("ansim %s: %w\n%s", args[0], err, complaint.Bytes())
	}
	return append(out.Bytes(), complaint.Bytes()...), cmd.ProcessState.ExitCode(), nil
}

// places is the capacity of each slot, and slotCount how many there are: enough for every crowd.
const (
	places    = 600
	slotCount = 60
)

func (st *stand) openProgramme(ctx context.Context) error {
	var b strings.Builder
	now := time.Now()
	fmt.Fprintf(&b, `id: chaos
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: %s
closes_at: %s
sites:
  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}
slots:
`, now.Add(-time.Hour).Format(time.RFC3339), now.Add(48*time.Hour).Format(time.RFC3339))
	for i := range slotCount {
		s := slot{fmt.Sprintf("s%02d", i), now.Add(72 * time.Hour).Truncate(time.Hour).Add(time.Duration(i) * time.Hour)}
		st.slots = append(st.slots, s)
		fmt.Fprintf(&b, "  - {id: %s, site: gangnam, starts_at: %s, capacity: %d}\n", s.id, s.at.Format(time.RFC3339), places)
	}
	file := filepath.Join(st.dir, "programme.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	out, code, err := st.command(ctx, "programme", "apply", file)
	if err != nil || code != 0 {
		return fmt.Errorf("programme apply: exit %d, %w\n%s", code, err, out)
	}
	out, code, err = st.command(ctx, "keys", "create", "--name", "chaos")
	if err != nil || code != 0 {
		return fmt.Errorf("keys create: exit %d, %w\n%s", code, err, out)
	}
	st.key, _, _ = strings.Cut(string(out), "\n")
	if st.key == "" {
		return errors.New("keys create printed no key")
	}
	return nil
}

// fault sets the rules of the phone network; "" takes them away.
func (st *stand) fault(ctx context.Context, rules string) error {
	method := http.MethodPut
	if rules == "" {
		method = http.MethodDelete
	}
	req, err := http.NewRequestWithContext(ctx, method, st.network+"/sandbox/faults", strings.NewReader(rules))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode >= 300 {
		return fmt.Errorf("set faults: status %d: %s", res.StatusCode, b)
	}
	return nil
}

// member is a process of ours that is wanted to run; it may die, and be started again.
type member struct {
	st    *stand
	name  string
	roles string
	busy  sync.Mutex // held by who does something to it
	p     *process
	addr  atomic.Pointer[string] // where it listens, nil while it is not up
	spare bool                   // not wanted for the time being
}

// launch starts it and does not wait until it is up.
func (m *member) launch(extra ...string) (err error) {
	env := slices.Clone(m.st.env)
	if d := m.st.databases[strings.Split(m.roles, ",")[0]]; d != nil {
		u, err := url.Parse(m.st.databaseURL())
		if err != nil {
			return err
		}
		u.Host = d.Addr()
		env = append(env, "ANSIM_DATABASE_URL="+u.String())
	}
	m.p, err = launch(m.st.binary, m.name, filepath.Join(m.st.dir, m.name+".log"), append(env, extra...), "serve", "--addr", "127.0.0.1:0",
		"--roles", m.roles)
	return err
}

// up waits until it is up.
func (m *member) up(ctx context.Context) error {
	line, err := m.p.says(ctx, `"ansim is up"`, startLimit)
	if err != nil {
		return err
	}
	var said struct {
		Listens string `json:"listens"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		return fmt.Errorf("%s does not say where it listens: %w", m.name, err)
	}
	m.addr.Store(&said.Listens)
	return nil
}

// start starts it until it is up: as with every supervisor, a start that fails (its database may be away) is tried again.
func (m *member) start(ctx context.Context, extra ...string) error {
	policy := backoff.WithContext(backoff.NewConstantBackOff(200*time.Millisecond), ctx)
	limit := time.Now().Add(2 * time.Minute)
	return backoff.Retry(func() error {
		err := m.launch(extra...)
		if err == nil {
			err = m.up(ctx)
		}
		if err != nil && time.Now().After(limit) {
			return backoff.Permanent(err)
		}
		if err != nil && m.p != nil && !m.p.ended() {
			m.p.kill()
		}
		return err
	}, policy)
}

// kill ends it with SIGKILL.
func (m *member) kill() {
	m.addr.Store(nil)
	if m.p != nil && !m.p.ended() {
		m.p.kill()
		m.st.kills.Add(1)
	}
}

// stop ends it with SIGTERM; it must be gone within the promised time, with exit 0.
func (m *member) stop(ctx context.Context) error {
	began := time.Now()
	m.p.signal(syscall.SIGTERM)
	if !m.p.wait(ctx, stopLimit+2*time.Second) {
		m.addr.Store(nil)
		m.p.kill()
		return fmt.Errorf("%w: %s did not end within %s of SIGTERM", errPromise, m.name, stopLimit)
	}
	m.addr.Store(nil)
	if code := m.p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%w: %s ended with exit %d after SIGTERM, not 0", errPromise, m.name, code)
	}
	m.st.note("%s ended %s after SIGTERM", m.name, time.Since(began).Round(time.Millisecond))
	return nil
}

// dieAt starts it, after SIGKILL if need be, so that it kills itself when it passes a point for the nth time, and says whether
// it did so within limit. It is left dead, or running with that order.
func (m *member) dieAt(ctx context.Context, point string, nth int, limit time.Duration) (bool, error) {
	m.kill()
	if err := m.launch(fmt.Sprintf("ANSIM_CRASH_AT=%s:%d", point, nth)); err != nil {
		return false, err
	}
	began := time.Now()
	if err := m.up(ctx); err != nil && !m.p.ended() {
		return false, err
	}
	if !m.p.ended() && !m.p.wait(ctx, limit) {
		return false, ctx.Err()
	}
	m.addr.Store(nil)
	if !m.p.killed() {
		return false, nil // its start failed, since something else is wrong at the same time
	}
	m.st.kills.Add(1)
	m.st.mu.Lock()
	m.st.reached[point]++
	m.st.mu.Unlock()
	m.st.note("%s died at %s (pass %d) after %s", m.name, point, nth, time.Since(began).Round(time.Millisecond))
	return true, nil
}

// with are the members that have a role.
func (st *stand) with(role string) (out []*member) {
	for _, m := range st.members {
		if slices.Contains(strings.Split(m.roles, ","), role) {
			out = append(out, m)
		}
	}
	return out
}

// heal takes every fault away and starts whoever is wanted and not there.
func (st *stand) heal(ctx context.Context) error {
	for _, d := range append([]*detour.Detour{st.client, st.provider, st.broker}, st.databases["api"], st.databases["relay"], st.databases["notifier"]) {
		if d != nil {
			d.Set(detour.Pass, 1)
		}
	}
	if err := st.fault(ctx, ""); err != nil {
		return err
	}
	return st.startAll(ctx)
}
