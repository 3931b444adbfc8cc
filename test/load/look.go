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

// lookOrders are what people who look up are to do: so many a second, on connections that stay open, in turns with the code and
// birth date of a reservation, as a resident does, and by its id, as a client does.
type lookOrders struct {
	Addr, Key   string
	Booked      []lookedUp
	Connections int
	PerSecond   int
	Window      time.Duration
}

type lookedUp struct {
	ID        string `db:"id"`
	Code      string `db:"code"`
	BirthDate string `db:"birth_date"`
}

// lookReport is how it went. A look that began late, since the one before took so long, counts from when it was to begin.
type lookReport struct {
	Done, Failed int
	P99          float64 // ms
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
	r.Done, r.P99 = len(all), quantile(all, .99)
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
	who := o.Booked[n%len(o.Booked)]
	request := fmt.Sprintf("GET /v1/reservations/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", who.ID, o.Addr, o.Key)
	if n%2 == 0 {
		body := fmt.Sprintf(`{"code":%q,"birth_date":%q}`, who.Code, who.BirthDate)
		request = fmt.Sprintf("POST /v1/lookup HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", o.Addr, len(body), body)
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, res.Body); err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return err
}
