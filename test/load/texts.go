package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ansim/cmd/app"
	"ansim/schema/audit"
	"ansim/schema/sqldb"
)

const (
	textSlots       = 25
	textConnections = 64
	warmPeople      = 4000 // Java is quick only after some seconds of work
	// patience is how long the last text may take after the last booking.
	patience = 3 * time.Minute
)

// whole starts everything that people book and are texted by, with places for so many, and warms it up. It returns the orders
// for a crowd, and where the phone network is.
func (st *stage) whole(ctx context.Context, people int) (svc *service, o crowdOrders, network string, err error) {
	broker, err := st.kafka()
	if err != nil {
		return nil, o, "", err
	}
	dir, err := st.folder()
	if err != nil {
		return nil, o, "", err
	}
	phones, err := st.child("phones", filepath.Join(dir, "phones"))
	if err != nil {
		return nil, o, "", err
	}
	var at address
	if err := phones.hear(&at); err != nil {
		return nil, o, "", err
	}
	svc, err = st.serve(ctx, broker, at.URL, app.Roles, textSlots, (people+warmPeople)/textSlots+1)
	if err != nil {
		return nil, o, "", err
	}
	o = crowdOrders{Addr: svc.addr, Key: svc.key, Slots: svc.slots, Connections: textConnections}
	_, err = svc.textAll(ctx, st, o, 0, warmPeople)
	return svc, o, at.URL, err
}

// bookAndText measures everything at once: people book while those before them are texted.
func bookAndText(ctx context.Context, st *stage, s settings, r *report) error {
	svc, o, network, err := st.whole(ctx, s.people)
	if err != nil {
		return err
	}
	m := st.startMeter()
	memory := watchMemory(svc.process.cmd.Process.Pid)
	t, err := svc.textAll(ctx, st, o, warmPeople, s.people)
	samples := memory()
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, m.note(fmt.Sprintf("texts, %d connections, %d slots", textConnections, textSlots)))
	n := float64(s.people)
	since := func(at time.Time) float64 { return at.Sub(t.crowd.Began).Seconds() }
	r.add("texts", "booked, while texts go out", n/since(t.crowd.Ended), "/s", "")
	r.add("texts", "click to answer, p99", t.crowd.P99, "ms", "")
	r.add("texts", "first click to last text accepted", n/since(t.Accepted), "texts/s", "3,400 to 4,700")
	r.add("texts", "first click to last text delivered", n/since(t.Delivered), "texts/s", "")
	r.memory("texts", samples)
	return judge(ctx, svc.config.Database(), network)
}

// memory tells samples of a process's memory in MiB, taken at equal distances: the first, the middle and the last, and, since
// each of them is a moment between two collections of garbage, what was usual in each tenth of the time.
func (r *report) memory(part string, samples []float64) {
	r.add(part, "memory of serve, start", samples[0], "MiB", "")
	r.add(part, "memory of serve, middle", samples[len(samples)/2], "MiB", "")
	r.add(part, "memory of serve, end", samples[len(samples)-1], "MiB", "")
	const parts = 10
	var tenths []string
	for i := range parts {
		tenth := slices.Sorted(slices.Values(samples[i*len(samples)/parts : (i+1)*len(samples)/parts]))
		if len(tenth) > 0 {
			tenths = append(tenths, fmt.Sprintf("%.0f", tenth[len(tenth)/2]))
		}
	}
	r.Notes = append(r.Notes, fmt.Sprintf("%s: memory of serve in MiB, median of each tenth of the time: %s", part, strings.Join(tenths, ", ")))
}

const (
	steadyConnections = 256
	// idleTime is how long is looked at what is used when nobody comes.
	idleTime = 30 * time.Second
)

// bookSteadily measures how long people wait for their texts while as many come each second as the settings say, and what is
// used when nobody comes any more.
func bookSteadily(ctx context.Context, st *stage, s settings, r *report) error {
	people := int(float64(s.rate) * s.window.Seconds())
	svc, o, network, err := st.whole(ctx, people)
	if err != nil {
		return err
	}
	o.Rate, o.Connections = s.rate, steadyConnections
	m := st.startMeter()
	memory := watchMemory(svc.process.cmd.Process.Pid)
	t, err := svc.textAll(ctx, st, o, warmPeople, people)
	samples := memory()
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, m.note(fmt.Sprintf("steady, %d people a second for %s", s.rate, s.window)))
	var waits []time.Duration // from the booking to the provider's answer, by the database's clock
	err = svc.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var micros []int64
		if err := tx.Select(ctx, &micros, `SELECT CAST(EXTRACT(EPOCH FROM accepted_at - event_at) * 1000000 AS bigint) FROM message
			WHERE event_at >= ? ORDER BY 1`, sqldb.At(t.crowd.Began)); err != nil {
			return err
		}
		for _, n := range micros {
			waits = append(waits, time.Duration(n)*time.Microsecond)
		}
		return nil
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d a second: ", s.rate)
	r.add("steady", what+"booked", float64(t.crowd.Booked)/t.crowd.Ended.Sub(t.crowd.Began).Seconds(), "/s", "")
	r.add("steady", what+"click to answer, p50", t.crowd.P50, "ms", "")
	r.add("steady", what+"click to answer, p99", t.crowd.P99, "ms", "")
	r.add("steady", what+"booking to accepted, p50", quantile(waits, .5), "ms", "")
	r.add("steady", what+"booking to accepted, p99", quantile(waits, .99), "ms", "")
	r.add("steady", what+"booking to accepted, longest", quantile(waits, 1), "ms", "")
	r.memory("steady", samples)

	before := cpuTimes(st.names)
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	after := cpuTimes(st.names)
	for _, name := range []string{"serve", "postgres", "kafka"} {
		r.add("steady", "idle: "+name, (after[name]-before[name]).Seconds()/idleTime.Seconds(), "core", "")
	}
	return judge(ctx, svc.config.Database(), network)
}

// texting is how a crowd booked, and when the last of all texts was accepted and delivered.
type texting struct {
	crowd               crowdReport
	Accepted, Delivered time.Time
}

// textAll has people book, the first of them with the number first, and waits until the text of each, and of all before, is
// on its phone.
func (s *service) textAll(ctx context.Context, st *stage, o crowdOrders, first, people int) (t texting, err error) {
	o.First, o.People = first, people
	if t.crowd, err = st.crowd(o); err != nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(500 * time.Millisecond) // each look reads all messages
	defer look.Stop()
	for {
		var row struct {
			Delivered   int         `db:"delivered"`
			AcceptedAt  *sqldb.Time `db:"accepted_at"`
			DeliveredAt *sqldb.Time `db:"delivered_at"`
		}
		err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Get(ctx, &row, `SELECT COUNT(delivered_at) AS delivered, MAX(accepted_at) AS accepted_at,
				MAX(delivered_at) AS delivered_at FROM message`)
		})
		if err != nil {
			return t, fmt.Errorf("%d of %d texts were delivered: %w", row.Delivered, first+people, err)
		}
		if row.Delivered >= first+people {
			t.Accepted, t.Delivered = row.AcceptedAt.Time, row.DeliveredAt.Time
			return t, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return t, fmt.Errorf("%d of %d texts were delivered: %w", row.Delivered, first+people, ctx.Err())
		}
	}
}

// watchMemory looks at a process's memory, in MiB, five times a second until the function that it returns is called, which
// tells what it saw.
func watchMemory(pid int) func() []float64 {
	samples := []float64{resident(pid)}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		look := time.NewTicker(200 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				samples = append(samples, resident(pid))
			case <-over:
				return
			}
		}
	})
	return func() []float64 {
		close(over)
		wg.Wait()
		return samples
	}
}

// judge makes sure that what was measured is what was promised: a speed at which texts are lost or doubled is none.
func judge(ctx context.Context, url, network string) error {
	db, err := sqldb.Open(ctx, url, sqldb.Options{ReadOnly: true}) // which may take its time
	if err != nil {
		return err
	}
	defer db.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, network+"/sandbox/log", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	report, err := audit.Run(ctx, db, audit.Options{Log: res.Body})
	if err != nil {
		return err
	}
	if report.Failed(true) {
		return errors.New("the promises were not kept; `ansim check` says which")
	}
	return nil
}
