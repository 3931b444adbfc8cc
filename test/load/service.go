package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	config  app.Config
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
	if err := s.open(ctx, slots, capacity); err != nil {
		return nil, err
	}
	dir, err := st.folder()
	if err != nil {
		return nil, err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	s.config = app.Config{
		DatabaseURL: url, Kafka: kafka, Data: filepath.Join(dir, "data"), Addr: "127.0.0.1:0", Secret: hex.EncodeToString(secret[:]),
		Roles: roles, Twilio: app.Twilio{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken,
			From: sandbox.DefaultFrom, BaseURL: phones}}
	s.process, s.addr, err = st.listening("serve", serveOrders{Profile: st.profile, Name: st.part, Config: s.config})
	return s, err
}

// listening starts a child that says where it listens, and returns that.
func (st *stage) listening(what string, orders any) (*process, string, error) {
	p, err := st.child(what, orders)
	if err != nil {
		return nil, "", err
	}
	var at address
	err = p.hear(&at)
	return p, strings.TrimPrefix(at.URL, "http://"), err
}
