//go:build unix

package notifier_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"

	"ansim/notifier/sandbox"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// waiting is how many texts wait for a provider that is away.
const waiting = 5000

// TestAProviderComesBackToNoStampede: connections are refused while five thousand wait. It is knocked at by one text at a
// time; when it is back, as many are under way as it has answered before, and no more; all go out, none twice.
func TestAProviderComesBackToNoStampede(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		waiting := waiting
		if db.Dialect() == sqldb.SQLite { // written in Go, and under the race detector, it takes its time
			waiting /= 5
		}
		p := quick
		p.SlotTime = time.Hour // nothing goes on without its slot
		r := newRig(t, db, p)
		// Who confirms what has nothing to do with it.
		r.faults(sandbox.Rule{Callbacks: sandbox.CallbacksNone, Delay: visible})
		address, listen := reserve(t, r.wire)
		n := r.startAt(address)
		ids, events := r.crowd(waiting)
		r.deliver(events...)
		r.until("everything waits", func() bool { return r.messages() == waiting })
		r.until("the sender knows", func() bool { return n.Provider() == "away" })
		r.until("at most one text is tried", func() bool { return r.sending() <= 1 })
		var before []int
		r.query(&before, `SELECT COUNT(*) FROM attempt`)
		listen()
		r.untilAllAccepted(ids...)
		r.exactlyOne(ids...)
		most := 0
		for i, c := range r.wire.since(0) {
			if most = max(most, c.beside); c.beside > c.answered+2 {
				t.Errorf("request %d went with %d others after %d answers", i, c.beside-1, c.answered)
			}
		}
		if n := r.wire.count(); n != waiting {
			t.Errorf("%d requests for %d texts", n, waiting)
		}
		// 512 slots once, and then one at a time with pauses.
		if before[0] > 512+100 {
			t.Errorf("%d attempts were begun while nobody was there", before[0])
		}
		t.Logf("%d attempts while away; up to %d at once afterwards", before[0], most)
	})
}

// reserve takes a port on which nobody listens, so that connections are refused, until listen is called. The port is never
// given back in between, so nobody else can get it.
func reserve(t *testing.T, h http.Handler) (address string, listen func()) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "reserved port")
	t.Cleanup(func() { _ = file.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address = fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	if c, err := net.DialTimeout("tcp", address, 5*time.Second); err == nil {
		_ = c.Close()
		t.Fatal("somebody listens on a port that was only reserved")
	}
	return "http://" + address, func() {
		if err := syscall.Listen(fd, 1024); err != nil {
			t.Fatal(err)
		}
		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
		srv.Start()
		t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	}
}
