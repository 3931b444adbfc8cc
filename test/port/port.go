// Package port finds ports for the servers of tests.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports lie below those from which Linux serves whoever asks for any (32768 and up).
const first, count = 20_000, 12_000

var (
	start = rand.IntN(count) // so that several programs that start together do not try the same
	given atomic.Int64
)

// Free is a port of 127.0.0.1 at which nobody listens. It stays free until its server takes it, and while that server is
// restarted: no second caller gets it, nor who lets the kernel choose, as all our processes do that are started meanwhile.
func Free() (int, error) {
	for range count {
		p := first + (start+int(given.Add(1)))%count
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			return p, l.Close()
		}
	}
	return 0, errors.New("every port is in use")
}
