//go:build unix

package sandbox

import (
	"errors"
	"net"
	"syscall"
)

// quiet says whether a connection is open and nothing has come on it. What came would be lost, and so would the
// connection be: nobody asked for it.
func quiet(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	empty := false
	err = raw.Read(func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), make([]byte, 1))
		empty = errors.Is(err, syscall.EAGAIN)
		return true // however it is; never wait
	})
	return err == nil && empty
}
