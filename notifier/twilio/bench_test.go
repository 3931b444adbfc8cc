//go:build unix

package twilio

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ansim/notifier"
)

// skim reads one request with as little work as can be, so that what the benchmark measures is our side; false at the end.
func skim(r *bufio.Reader) bool {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if len(line) == 2 {
			break
		}
		if s := string(line); strings.HasPrefix(s, "Content-Length: ") {
			length, _ = strconv.Atoi(strings.TrimSpace(s[16:]))
		}
	}
	_, err := r.Discard(length)
	return err == nil
}

// cpu is the processor time of this process so far. Other than the clock's, it says something on a machine that is shared.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSend measures one text by one sender, and by 64 as in a process, to a server that answers at once. Its cost is in
// the figures: it is in the same process.
func BenchmarkSend(b *testing.B) {
	answer := []byte(http1(http.StatusCreated, "Content-Type: application/json\r\n", whole))
	for _, senders := range []int{0, 32} {
		b.Run(strconv.Itoa(max(1, 2*senders)), func(b *testing.B) {
			n := listen(b, func(_ *network, c net.Conn, r *bufio.Reader) {
				for skim(r) {
					_, _ = c.Write(answer)
				}
			})
			p, err := New(Options{AccountSID: account, AuthToken: secret, From: "+8225550100", BaseURL: n.url(), PublicURL: "http://ansim.test"})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(p.Close)
			text, ctx := aText(), short(b, 10*time.Minute)
			b.ReportAllocs()
			one := func() {
				if o := p.Send(ctx, text); o.Class != notifier.Accepted {
					b.Errorf("%+v", o)
				}
			}
			began := cpu(b)
			defer func() { b.ReportMetric(float64(cpu(b)-began)/float64(time.Microsecond)/float64(b.N), "cpu-µs/op") }()
			if senders == 0 {
				for b.Loop() {
					one()
				}
				return
			}
			b.SetParallelism(senders) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
}
