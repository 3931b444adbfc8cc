package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
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

// bookAndText measures everything at once: people book while those before them are texted.
func bookAndText(ctx context.Context, st *stage, s settings, r *report) error {
	broker, err := st.kafka()
	if err != nil {
		return err
	}
	dir, err := st.folder()
	if err != nil {
		return err
	}
	network, err := st.child("phones", filepath.Join(dir, "phones"))
	if err != nil {
		return err
	}
	var at address
	if err := network.hear(&at); err != nil {
		return err
	}
	svc, err := st.serve(ctx, broker, at.URL, app.Roles, textSlots, (s.people+warmPeople)/textSlots+1)
	if err != nil {
		return err
	}
	o := crowdOrders{Addr: svc.addr, Key: svc.key, Slots: svc.slots, Connections: textConnections}
	if _, err := svc.textAll(ctx, st, o, 0, warmPeople); err != nil {
		return err
	}
	m := st.startMeter()
	memory := watchMemory(svc.process.cmd.Process.Pid)
	t, err := svc.textAll(ctx, st, o, warmPeople, s.people)
	start, middle, end := memory()
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
	for _, x := range []struct {
		when string
		mib  float64
	}{{"start", start}, {"middle", middle}, {"end", end}} {
		r.add("texts", "memory of serve, "+x.when, x.mib, "MiB", "")
	}
	return judge(ctx, svc.db, at.URL)
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

// watchMemory looks at a process's memory until the function that it returns is called, which tells what it was first,
// half-way and last.
func watchMemory(pid int) func() (start, middle, end float64) {
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
	return func() (start, middle, end float64) {
		close(over)
		wg.Wait()
		return samples[0], samples[len(samples)/2], samples[len(samples)-1]
	}
}

// judge makes sure that what was measured is what was promised: a speed at which texts are lost or doubled is none.
func judge(ctx context.Context, db *sqldb.DB, network string) error {
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
