package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ansim/booking"
	"ansim/cmd/app"
	"ansim/notifier/console/staff"
	"ansim/schema/audit"
	"ansim/schema/sqldb"
)

const (
	// bookers is how many residents the demo lets book at the same time.
	bookers = 16
	// demoPatience is how long the demo waits for the last text, beside a hundredth of a second for each resident.
	demoPatience = time.Minute
	// defaultAddr is where serve and demo listen when nothing is said.
	defaultAddr = "127.0.0.1:8080"
	// demoStaff is the account of the console that signs in by one click.
	demoStaff = "demo"
)

type demoCmd struct {
	People int    `default:"20" help:"How many residents book."`
	Once   bool   `help:"End after the texts; exit 0 only if every text was accepted and delivered and check is clean."`
	JSON   bool   `name:"json" help:"With --once: the last line of stdout is the result as one JSON object."`
	Addr   string `env:"ANSIM_ADDR" default:"127.0.0.1:8080" help:"Where to listen; port 0 takes a free one."`
	Data   string `placeholder:"DIR" help:"Folder to keep; by default a temporary one, removed at the end."`
}

// demo is a running demonstration.
type demo struct {
	cmd    *demoCmd
	env    *env
	app    *app.App
	phones *network
	key    string
	slots  []string
	before audit.Figures // of earlier runs in the same folder
	level  slog.LevelVar // of what is logged

	mu      sync.Mutex
	clicked map[string]time.Time // by code, when its resident pressed the button
	names   map[string]string    // by code
}

func (c *demoCmd) Run(e *env) error {
	if c.People < 1 {
		return fmt.Errorf("%w: --people must be at least 1", app.ErrUsage)
	}
	if c.JSON && !c.Once {
		return fmt.Errorf("%w: --json goes with --once", app.ErrUsage)
	}
	if c.Once && c.Addr == defaultAddr {
		c.Addr = "127.0.0.1:0" // nobody will visit; do not ask for a port that may be in use
	}
	if c.Data == "" {
		dir, err := os.MkdirTemp("", "ansim-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		c.Data = dir
	}
	d := &demo{cmd: c, env: e, clicked: map[string]time.Time{}, names: map[string]string{}}
	return d.run()
}

func (d *demo) run() error {
	if err := d.start(); err != nil {
		return err
	}
	defer d.phones.Close()
	defer d.app.Stop()
	defer http.DefaultClient.CloseIdleConnections()
	d.say("ansim demo: %d residents book over the HTTP API; each line is a text as it arrives.\n", d.cmd.People)
	ctx, cancel := context.WithTimeout(d.env.ctx, demoPatience+time.Duration(d.cmd.People)*10*time.Millisecond)
	defer cancel()
	first := 0
	if err := d.eachText(func(int, []byte) { first++ }); err != nil {
		return err
	}
	following, stopFollowing := context.WithCancel(ctx)
	var follower sync.WaitGroup
	follower.Go(func() { d.follow(following, first) })
	booked, err := d.bookAll(ctx)
	if err == nil {
		err = d.settle(ctx, booked)
	}
	stopFollowing()
	follower.Wait()
	if err != nil && d.env.ctx.Err() != nil {
		return fmt.Errorf("stopped before all texts had arrived")
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	report, err := d.judge()
	if err != nil {
		return err
	}
	if d.cmd.Once {
		return d.conclude(report)
	}
	if err := d.showStates(d.env.ctx); err != nil {
		return err
	}
	d.leadOn(report)
	<-d.env.ctx.Done()
	d.say("\nstopping")
	return nil
}

// start brings up the phone network and the service, loads the programme and makes a key.
func (d *demo) start() (err error) {
	d.level.Set(slog.LevelWarn)
	log := slog.New(slog.NewTextHandler(d.env.stderr, &slog.HandlerOptions{Level: &d.level}))
	secret, err := keptSecret(d.cmd.Data)
	if err != nil {
		return err
	}
	if d.phones, err = startNetwork(filepath.Join(d.cmd.Data, "phones"), log); err != nil {
		return err
	}
	d.app, err = app.New(d.env.ctx, app.Config{
		Kafka: app.Embedded, Data: d.cmd.Data, Addr: d.cmd.Addr, Secret: secret, Migrate: true, Roles: app.Roles,
		Twilio: d.phones.settings(), DemoStaff: demoStaff, Reconcile: demoLooks,
		Links: []app.Link{{URL: d.phones.url, Title: "The phones", What: "every text, on the phone that it arrived on"}},
	}, log)
	if err != nil {
		d.phones.Close()
		return err
	}
	if err := d.prepare(); err != nil {
		d.app.Stop()
		d.phones.Close()
		return err
	}
	return nil
}

func (d *demo) prepare() error {
	programme, slots, err := demoProgramme(time.Now())
	if err != nil {
		return err
	}
	if _, err := booking.ApplyProgramme(d.env.ctx, d.app.DB(), programme, booking.ApplyOptions{By: "demo"}); err != nil {
		return err
	}
	d.slots = slots
	report, err := d.judge()
	if err != nil {
		return err
	}
	d.before = report.Figures
	run := make([]byte, 4)
	_, _ = rand.Read(run)
	if err := staff.Add(d.env.ctx, d.app.DB(), "cli:demo", demoStaff, staff.Supervisor, rand.Text()); err != nil && !errors.Is(err, staff.ErrTaken) {
		return err
	}
	d.key, err = booking.CreateKey(d.env.ctx, d.app.DB(), booking.KeySpec{Name: "demo " + hex.EncodeToString(run)})
	return err
}

// keptSecret is the folder's secret, made at its first use.
func keptSecret(dir string) (string, error) {
	path := filepath.Join(dir, "secret")
	if b, err := os.ReadFile(path); err == nil {
		return string(bytes.TrimSpace(b)), nil
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	s := hex.EncodeToString(b)
	return s, os.WriteFile(path, []byte(s+"\n"), 0o600)
}

// bookAll lets the residents book, several at a time, and returns how many did.
func (d *demo) bookAll(ctx context.Context) (int, error) {
	run := make([]byte, 4)
	_, _ = rand.Read(run)
	var g errgroup.Group
	g.SetLimit(bookers)
	for i, p := range invent(d.cmd.People, hex.EncodeToString(run)) {
		g.Go(func() error { return d.book(ctx, p, i) })
	}
	err := g.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.clicked), err
}

// book is one resident at the button. A full slot sends them to the next one.
func (d *demo) book(ctx context.Context, p person, i int) error {
	clicked := time.Now()
	for try := range 5 {
		slot := d.slots[(i*7+try*25+i/len(d.slots))%len(d.slots)]
		body, err := json.Marshal(map[string]any{
			"slot_id": slot, "language": p.language,
			"resident": map[string]string{"identity": p.identity, "name": p.name, "birth_date": p.birthDate, "phone": p.phone},
		})
		if err != nil {
			return err
		}
		var answer struct {
			Code string `json:"code"`
			Type string `json:"type"`
		}
		status, err := d.post(ctx, "/v1/reservations", fmt.Sprintf("%s-%d", p.identity, try), body, &answer)
		switch {
		case err != nil:
			return err
		case status == http.StatusCreated:
			d.mu.Lock()
			d.clicked[answer.Code], d.names[answer.Code] = clicked, p.name
			d.mu.Unlock()
			return nil
		case status != http.StatusConflict:
			return fmt.Errorf("a booking was refused with status %d (%s)", status, answer.Type)
		}
	}
	return errors.New("no free place was found; use a fresh --data folder")
}

func (d *demo) post(ctx context.Context, path, key string, body []byte, answer any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.app.URL()+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+d.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, json.Unmarshal(b, answer)
}

// judge runs the same audit as `ansim check`, with the phone network's log beside it.
func (d *demo) judge() (audit.Report, error) {
	db, err := sqldb.Open(d.env.ctx, "sqlite:"+d.app.DB().Path(), sqldb.Options{ReadOnly: true})
	if err != nil {
		return audit.Report{}, err
	}
	defer db.Close()
	log, err := d.phones.log(d.env.ctx)
	if err != nil {
		return audit.Report{}, err
	}
	defer log.Close()
	return audit.Run(d.env.ctx, db, audit.Options{Log: log})
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.env.stdout, format+"\n", args...) }
