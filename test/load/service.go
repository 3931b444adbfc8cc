package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ansim/booking"
	"ansim/cmd/app"
	"ansim/notifier/sandbox"
	"ansim/schema/sqldb"
)

// serveOrders are what a serving process is to be.
type serveOrders struct {
	Config  app.Config
	Profile string // folder, "" for none
	Name    string // of the profile
}

// address is what a child that listens says when it does.
type address struct{ URL string }

// serve is the process of `ansim serve`, as that command starts it.
func serve() error {
	var o serveOrders
	over, err := orders(&o)
	if err != nil {
		return err
	}
	a, err := app.New(context.Background(), o.Config, quiet())
	if err != nil {
		return err
	}
	stop, err := profiled(o.Profile, o.Name)
	if err != nil {
		return err
	}
	if err := say(address{a.URL()}); err != nil {
		return err
	}
	<-over
	stop()
	a.Stop()
	return nil
}

// phones is the process of the phone network. Its orders are the folder of its log.
func phones() error {
	var dir string
	over, err := orders(&dir)
	if err != nil {
		return err
	}
	// A provider calls back as fast as it has news. Were few callbacks allowed at once, each of which waits for a commit of
	// ours, their number would be what is measured.
	s, err := sandbox.New(sandbox.Options{Data: dir, Log: quiet(), CallbackWorkers: 128})
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	if err := say(address{"http://" + l.Addr().String()}); err != nil {
		return err
	}
	<-over
	return nil
}

func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// service is a serving process, an API key and the slots of a programme that is open.
type service struct {
	process *process
	db      *sqldb.DB
	addr    string
	key     string
	slots   []string
}

// serve starts a service on a fresh database. kafka and phones may be addresses where nothing is, if no role needs them.
func (st *stage) serve(ctx context.Context, kafka, phones string, roles []app.Role, slots, capacity int) (*service, error) {
	db, url, err := st.postgres(ctx, 0)
	if err != nil {
		return nil, err
	}
	s := &service{db: db}
	var b strings.Builder
	now := time.Now()
	fmt.Fprintf(&b, "id: load\nname: {ko: 예방접종, en: Vaccination}\ntag: {ko: 백신예약, en: Vaccine}\ntime_zone: Asia/Seoul\n"+
		"opens_at: %s\ncloses_at: %s\nsites:\n  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}\nslots:\n",
		now.Add(-time.Hour).Format(time.RFC3339), now.Add(24*time.Hour).Format(time.RFC3339))
	for i := range slots {
		s.slots = append(s.slots, fmt.Sprintf("slot-%d", i))
		fmt.Fprintf(&b, "  - {id: slot-%d, site: gangnam, starts_at: %s, capacity: %d}\n", i, now.AddDate(0, 0, 7).Format(time.RFC3339), capacity)
	}
	programme, err := booking.ParseProgramme(strings.NewReader(b.String()))
	if err != nil {
		return nil, err
	}
	if _, err := booking.ApplyProgramme(ctx, db, programme, booking.ApplyOptions{By: "test"}); err != nil {
		return nil, err
	}
	if s.key, err = booking.CreateKey(ctx, db, booking.KeySpec{Name: "load"}); err != nil {
		return nil, err
	}
	dir, err := st.folder()
	if err != nil {
		return nil, err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	s.process, err = st.child("serve", serveOrders{Profile: st.profile, Name: st.part, Config: app.Config{
		DatabaseURL: url, Kafka: kafka, Data: filepath.Join(dir, "data"), Addr: "127.0.0.1:0", Secret: hex.EncodeToString(secret[:]),
		Roles: roles, Twilio: app.Twilio{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken,
			From: sandbox.DefaultFrom, BaseURL: phones}}})
	if err != nil {
		return nil, err
	}
	var at address
	if err := s.process.hear(&at); err != nil {
		return nil, err
	}
	s.addr = strings.TrimPrefix(at.URL, "http://")
	return s, nil
}

// nowhere is an address at which nothing listens.
const nowhere = "127.0.0.1:9"

// bookHotSlot measures bookings of one slot over HTTP, with nothing behind them: no relay, no broker, no texts.
func bookHotSlot(ctx context.Context, st *stage, s settings, r *report) error {
	svc, err := st.serve(ctx, nowhere, "http://"+nowhere, []app.Role{app.API}, 3, 1_000_000)
	if err != nil {
		return err
	}
	for i, connections := range []int{16, 64, 256} { // the first warms up
		window := s.window
		if i == 0 {
			window = 2 * time.Second
		}
		m := st.startMeter()
		c, err := st.crowd(crowdOrders{Addr: svc.addr, Key: svc.key, Slots: svc.slots[i : i+1], Connections: connections,
			Window: window, First: i * 10_000_000})
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		name := fmt.Sprintf("one slot, %d connections: ", connections)
		r.add("booking", name+"bookings", float64(c.Booked)/c.Ended.Sub(c.Began).Seconds(), "/s", "21,000 to 31,000")
		r.add("booking", name+"p50", c.P50, "ms", "")
		r.add("booking", name+"p99", c.P99, "ms", "6 to 16")
		r.Notes = append(r.Notes, m.note(fmt.Sprintf("booking, %d connections", connections)))
	}
	r.add("booking", "memory of serve at the end", resident(svc.process.cmd.Process.Pid), "MiB", "")
	return nil
}

// crowd runs a crowd to its end. One that was answered with anything but bookings is an error.
func (st *stage) crowd(o crowdOrders) (c crowdReport, err error) {
	p, err := st.child("crowd", o)
	if err != nil {
		return c, err
	}
	if err := p.hear(&c); err != nil {
		return c, err
	}
	if len(c.Others) > 0 || c.Booked == 0 {
		return c, fmt.Errorf("the crowd was answered with more than bookings: %v", c.Others)
	}
	return c, nil
}
