package app

import (
	"log/slog"
	"net/http"
	"time"
)

// maxConnections is how many clients may be connected at once. Each costs about 20 KiB here and a file descriptor, of which
// a process is usually allowed more than twice as many. Further ones wait in the kernel's queue until one leaves, the health
// check too: a process that full takes no more work, and what asks for its health should hear so.
const maxConnections = 20_000

// limits bound what one client can hold.
type limits struct {
	header time.Duration // until a request's header has come
	read   time.Duration // until its body has, too
	write  time.Duration // from then until the answer was taken
	idle   time.Duration // between requests
	bytes  int           // of a header
}

// serverLimits are generous for a bad mobile connection, and end what only wants to be there: a client that sends a byte a
// second, one that does not read, one that says nothing.
var serverLimits = limits{header: 5 * time.Second, read: 15 * time.Second, write: 30 * time.Second, idle: time.Minute, bytes: 16 << 10}

func newServer(handler http.Handler, l limits, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: l.header,
		ReadTimeout:       l.read,
		WriteTimeout:      l.write,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.bytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
