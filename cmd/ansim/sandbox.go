package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"ansim/cmd/app"
	"ansim/notifier/sandbox"
)

// sandboxFrom is the number that texts come from in a sandbox.
const sandboxFrom = "+15005550006"

// network is a sandbox that listens.
type network struct {
	url     string
	sandbox *sandbox.Server
	server  *http.Server
	served  chan struct{}
}

// startNetwork starts a phone network on a free port of this machine, with its log in dir.
func startNetwork(dir string, log *slog.Logger) (*network, error) {
	return listenNetwork(context.Background(), "127.0.0.1:0", sandbox.Options{Data: dir, Log: log})
}

func listenNetwork(ctx context.Context, addr string, o sandbox.Options) (*network, error) {
	s, err := sandbox.New(o)
	if err != nil {
		return nil, fmt.Errorf("start the phone network: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", addr, err), s.Close())
	}
	n := &network{url: "http://" + l.Addr().String(), sandbox: s, served: make(chan struct{}),
		server: &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}}
	go func() {
		defer close(n.served)
		_ = n.server.Serve(l)
	}()
	return n, nil
}

// settings are the provider's settings that lead to this network.
func (n *network) settings() app.Twilio {
	return app.Twilio{AccountSID: n.sandbox.AccountSID(), AuthToken: n.sandbox.AuthToken(), From: sandboxFrom, BaseURL: n.url}
}

// log is the network's own record of every text that it took.
func (n *network) log(ctx context.Context) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/sandbox/log", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// Close stops the network; what it took is in its log.
func (n *network) Close() {
	_ = n.server.Close()
	<-n.served
	_ = n.sandbox.Close()
}

type sandboxCmd struct {
	Addr string `default:"127.0.0.1:8081" help:"Where to listen."`
	Data string `default:"ansim-sandbox" placeholder:"DIR" help:"Folder of its log."`

	ListLag time.Duration `placeholder:"DURATION" help:"How long its list does not show a text that it took, for example 3s."`
}

// Validate refuses what no network does.
func (c *sandboxCmd) Validate() error {
	if c.ListLag < 0 {
		return errors.New("--list-lag must not be negative")
	}
	return nil
}

func (c *sandboxCmd) Run(e *env) error {
	n, err := listenNetwork(e.ctx, c.Addr, sandbox.Options{Data: c.Data, Log: e.log, ListLag: c.ListLag})
	if err != nil {
		return err
	}
	s := n.settings()
	fmt.Fprintf(e.stdout, `The phones: %s/
To let ansim send here:
  export TWILIO_ACCOUNT_SID=%s
  export TWILIO_AUTH_TOKEN=%s
  export ANSIM_TWILIO_FROM=%s
  export ANSIM_TWILIO_BASE_URL=%s
`, n.url, s.AccountSID, s.AuthToken, s.From, s.BaseURL)
	<-e.ctx.Done()
	n.Close()
	return nil
}
