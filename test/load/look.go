package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookOrders are what people who look up are to do: so many a second, on connections that stay open, one request after the other.
type lookOrders struct {
	Addr        string
	Requests    []string // as they go over the wire
	Connections int
	PerSecond   int
	Window      time.Duration
}

type lookedUp struct {
	ID        string  `db:"id"`
	Code      string  `db:"code"`
	BirthDate string  `db:"birth_date"`
	Phone     string  `db:"phone"`
	Name      string  `db:"name"`
	Reference *string `db:"reference"`
}

// request is one as it goes over the wire. A body makes it a POST.
func request(addr, path, headers, contentType, body string) string {
	if body == "" {
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, addr, headers)
	}
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, addr, headers, contentType, len(body), body)
}

// lookReport is how it went. A look that began late, since the one before took so long, counts from when it was to begin.
type lookReport struct {
	Done, Failed int
	P50, P99     float64 // ms
}

// look is the process.
func look() error {
	var o lookOrders
	if _, err := orders(&o); err != nil {
		return err
	}
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	r := lookReport{}
	began := time.Now()
	var wg sync.WaitGroup
	for range o.Connections {
		wg.Go(func() {
			took, failed := o.stand(&next, began)
			mu.Lock()
			defer mu.Unlock()
			all, r.Failed = append(all, took...), r.Failed+failed
		})
	}
	wg.Wait()
	slices.Sort(all)
	r.Done, r.P50, r.P99 = len(all), quantile(all, .5), quantile(all, .99)
	return say(r)
}

func (o *lookOrders) stand(next *atomic.Int64, began time.Time) (took []time.Duration, failed int) {
	conn, err := net.Dial("tcp", o.Addr)
	if err != nil {
		return nil, 1
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		n := int(next.Add(1)) - 1
		due := began.Add(time.Duration(n) * time.Second / time.Duration(o.PerSecond))
		if due.Sub(began) >= o.Window {
			return took, failed
		}
		time.Sleep(time.Until(due))
		if err := o.one(conn, in, n); err != nil {
			return took, failed + 1
		}
		took = append(took, time.Since(due))
	}
}

func (o *lookOrders) one(conn net.Conn, in *bufio.Reader, n int) error {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, o.Requests[n%len(o.Requests)]); err != nil {
		return err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, res.Body); err == nil && res.StatusCode != http.StatusOK && res.StatusCode != http.StatusSeeOther {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return err
}
