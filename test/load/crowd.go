package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowdOrders are what a crowd is to do: People different people, or as many as book within Window, each on one of
// Connections that stay open, the next as soon as the one before has an answer, or, with a Rate, when it is their time.
type crowdOrders struct {
	Addr, Key   string
	Slots       []string
	Connections int
	People      int
	Window      time.Duration
	Rate        int // people a second, whether those before have their answers or not; 0: as fast as they are answered
	First       int // number of the first person
}

// crowdReport is how it went.
type crowdReport struct {
	Booked        int
	Others        map[string]int // answers that were no booking, by status, and broken connections
	Began, Ended  time.Time      // first click and last answer
	P50, P99, Max float64        // from click to answer, ms
}

// crowd is the process: people who book over HTTP. It writes requests by hand, so that it takes as little as it can of the
// processors that the service needs.
func crowd() error {
	var o crowdOrders
	if _, err := orders(&o); err != nil {
		return err
	}
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	r := crowdReport{Others: map[string]int{}, Began: time.Now()}
	var wg sync.WaitGroup
	for range o.Connections {
		wg.Go(func() {
			took, others := o.stand(&next, r.Began)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			for what, n := range others {
				r.Others[what] += n
			}
		})
	}
	wg.Wait()
	r.Ended = time.Now()
	slices.Sort(all)
	r.Booked, r.P50, r.P99, r.Max = len(all), quantile(all, .5), quantile(all, .99), quantile(all, 1)
	return say(r)
}

// stand is one connection: it returns how long each booking took, and what else it was answered.
func (o *crowdOrders) stand(next *atomic.Int64, began time.Time) (took []time.Duration, others map[string]int) {
	others = map[string]int{}
	conn, err := net.Dial("tcp", o.Addr)
	if err != nil {
		others["no connection"]++
		return nil, others
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		n := int(next.Add(1)) - 1
		clicked := time.Now()
		if o.Rate > 0 { // who has to wait for a connection has clicked all the same
			clicked = began.Add(time.Duration(n) * time.Second / time.Duration(o.Rate))
			<-time.After(time.Until(clicked))
		}
		if o.People > 0 && n >= o.People || o.Window > 0 && clicked.Sub(began) >= o.Window {
			return took, others
		}
		status, err := o.book(conn, in, o.First+n)
		switch {
		case err != nil:
			others["connection broken"]++
			return took, others
		case status == http.StatusCreated:
			took = append(took, time.Since(clicked))
		default:
			others[fmt.Sprint("status ", status)]++
		}
	}
}

// book is one person's booking.
func (o *crowdOrders) book(conn net.Conn, in *bufio.Reader, n int) (int, error) {
	body := fmt.Sprintf(`{"slot_id":%q,"language":"ko","resident":{"identity":"load-%d","name":"홍길동","birth_date":"1967-%02d-%02d","phone":"010-%04d-%04d"}}`,
		o.Slots[n%len(o.Slots)], n, 1+n%12, 1+n%28, 2000+n/10000%8000, n%10000)
	var b strings.Builder
	fmt.Fprintf(&b, "POST /v1/reservations HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: load-%d\r\nContent-Length: %d\r\n\r\n%s", o.Addr, o.Key, n, len(body), body)
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
