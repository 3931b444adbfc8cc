package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
)

// checkProfile refuses an address that others than this machine could reach: profiles show what the process works on. An error
// wraps ErrUsage.
func checkProfile(addr string) error {
	if addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			err = fmt.Errorf("%s is not loopback", host)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: ANSIM_PPROF_ADDR must be a port of this machine alone, as 127.0.0.1:6060: %w", ErrUsage, err)
	}
	return nil
}

// startProfile lets Go's profiles be fetched on a port of their own, when one is set. They are behind no limit of the service's:
// who is on this machine and may connect may take as long as a profile takes.
func (a *App) startProfile(ctx context.Context) error {
	if a.cfg.Profile == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Profile)
	if err != nil {
		return fmt.Errorf("listen for profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: serverLimits.header}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener)
	}()
	a.log.Info("profiles can be fetched", "url", "http://"+listener.Addr().String()+"/debug/pprof/")
	a.onStop("profiles", func(context.Context) error { err := srv.Close(); <-served; return err })
	return nil
}
