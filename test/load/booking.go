package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ansim/booking"
	"ansim/cmd/app"
	"ansim/schema"
	"ansim/schema/sqldb"
)

// nowhere is an address at which nothing listens.
const nowhere = "127.0.0.1:9"

// bookHotSlot measures bookings of one slot over HTTP, with nothing behind them: no relay, no broker, no texts. Beside ansim, in
// turns, stands the plain way, one transaction a request, on the same database; then two processes at once.
func bookHotSlot(ctx context.Context, st *stage, s settings, r *report) error {
	b, err := st.counter(ctx, s)
	if err != nil {
		return err
	}
	if _, err := b.book(ctx, "", 16, 2*time.Second, b.svc.addr); err != nil { // warms up
		return err
	}
	if _, err := b.book(ctx, "one slot, 64 connections", 64, s.window, b.svc.addr); err != nil {
		return err
	}
	first, err := b.book(ctx, "one slot, 256 connections", 256, s.window, b.svc.addr)
	if err != nil {
		return err
	}
	_, plain, err := st.listening("plain", b.svc.config.DatabaseURL)
	if err != nil {
		return err
	}
	b.unlooked = true
	if _, err := b.book(ctx, "", 16, 2*time.Second, plain); err != nil {
		return err
	}
	naive, err := b.book(ctx, "the plain way, 256 connections", 256, s.window, plain)
	if err != nil {
		return err
	}
	b.unlooked = false
	again, err := b.book(ctx, "one slot, 256 connections, again", 256, s.window, b.svc.addr)
	if err != nil {
		return err
	}
	r.add("booking", "beside the plain way", (first+again)/2/naive, "times", "")
	_, second, err := st.listening("serve", serveOrders{Config: b.svc.config, Name: "second"})
	if err != nil {
		return err
	}
	both, err := b.book(ctx, "two processes, 256 connections", 128, s.window, b.svc.addr, second)
	if err != nil {
		return err
	}
	r.add("booking", "two processes beside one", 100*both/again, "%", "")
	r.add("booking", "memory of serve at the end", resident(b.svc.process.cmd.Process.Pid), "MiB", "")
	return nil
}

// counter is where people book.
type counter struct {
	st       *stage
	svc      *service
	report   *report
	crowds   int
	unlooked bool // nobody looks up meanwhile
}

func (st *stage) counter(ctx context.Context, s settings) (*counter, error) {
	svc, err := st.serve(ctx, nowhere, "http://"+nowhere, []app.Role{app.API}, 40, 1_000_000)
	if err != nil {
		return nil, err
	}
	return &counter{st: st, svc: svc, report: s.report}, nil
}

// book lets crowds book in one slot that nobody has booked in, one crowd at each address with so many connections, while others
// look up what is booked already, and returns how many bookings a second there were. A run without a name is not reported.
func (b *counter) book(ctx context.Context, name string, connections int, window time.Duration, addrs ...string) (float64, error) {
	slot := b.svc.slots[b.crowds]
	m := b.st.startMeter()
	var looks chan lookReport
	if name != "" && !b.unlooked {
		var err error
		if looks, err = b.look(ctx, window); err != nil {
			return 0, err
		}
	}
	reports, errs := make([]crowdReport, len(addrs)), make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		b.crowds++
		o := crowdOrders{Addr: addr, Key: b.svc.key, Slots: []string{slot}, Connections: connections, Window: window, First: b.crowds * 10_000_000}
		wg.Go(func() { reports[i], errs[i] = b.st.crowd(o) })
	}
	wg.Wait()
	booked, p50, p99, took := 0, 0.0, 0.0, time.Duration(0)
	for i, c := range reports {
		if errs[i] != nil {
			return 0, errs[i]
		}
		booked, p50, p99, took = booked+c.Booked, max(p50, c.P50), max(p99, c.P99), max(took, c.Ended.Sub(c.Began))
	}
	perSecond := float64(booked) / took.Seconds()
	if name == "" {
		return perSecond, nil
	}
	b.report.add("booking", name+": bookings", perSecond, "/s", "21,000 to 31,000")
	b.report.add("booking", name+": p50", p50, "ms", "")
	b.report.add("booking", name+": p99", p99, "ms", "6 to 16")
	if looks != nil {
		l := <-looks
		if l.Failed > 0 || l.Done == 0 {
			return 0, fmt.Errorf("%d of %d looks failed", l.Failed, l.Failed+l.Done)
		}
		b.report.add("booking", name+": p99 of looking up meanwhile", l.P99, "ms", "")
	}
	b.report.Notes = append(b.report.Notes, m.note("booking, "+name)+fmt.Sprintf("; %d bookings", booked))
	return perSecond, nil
}

// look lets people look up what they have booked, a hundred a second, and reports when the time is over.
func (b *counter) look(ctx context.Context, window time.Duration) (chan lookReport, error) {
	var booked []lookedUp
	err := b.svc.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Select(ctx, &booked, "SELECT CAST(id AS text) AS id, code, birth_date FROM reservation ORDER BY id LIMIT 1000")
	})
	if err != nil {
		return nil, err
	}
	// In turns with the code and birth date, as a resident does, and by the id, as a client does.
	var requests []string
	for i, who := range booked {
		if i%2 == 0 {
			requests = append(requests, request(b.svc.addr, "/v1/lookup", "", "application/json", fmt.Sprintf(`{"code":%q,"birth_date":%q}`, who.Code, who.BirthDate)))
		} else {
			requests = append(requests, request(b.svc.addr, "/v1/reservations/"+who.ID, "Authorization: Bearer "+b.svc.key+"\r\n", "", ""))
		}
	}
	return b.st.look(lookOrders{Addr: b.svc.addr, Requests: requests, Connections: 8, PerSecond: 100, Window: window})
}

// look sends people to look up, and reports when the time is over.
func (st *stage) look(o lookOrders) (chan lookReport, error) {
	p, err := st.child("look", o)
	if err != nil {
		return nil, err
	}
	done := make(chan lookReport, 1)
	go func() {
		var r lookReport
		if p.hear(&r) != nil {
			r.Failed++
		}
		done <- r
	}()
	return done, nil
}

// past writes reservations of long ago, as of people who booked in a programme that is over.
const past = `INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date, phone,
		language, created_at, updated_at)
	SELECT CAST('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0') AS uuid), 'P' || lpad(CAST(i AS text), 9, '0'), 'load', 'slot-39',
		(SELECT id FROM api_key), 1, 'confirmed', CAST('\xff' || lpad(to_hex(i), 62, '0') AS bytea), '홍길동', '1967-05-05',
		'+8210' || lpad(CAST(20000000 + i % 80000000 AS text), 8, '0'), 'ko', at, at
	FROM (SELECT i, now() - interval '1 year' + i * interval '1 millisecond' AS at FROM generate_series(1, CAST(? AS integer)) AS i) AS people`

// bookWithHistory measures whether a booking costs more the more there were.
func bookWithHistory(ctx context.Context, st *stage, s settings, r *report) error {
	b, err := st.counter(ctx, s)
	if err != nil {
		return err
	}
	if _, err := b.book(ctx, "", 16, 2*time.Second, b.svc.addr); err != nil {
		return err
	}
	empty, err := b.book(ctx, "without a past, 256 connections", 256, s.window, b.svc.addr)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := b.svc.db.Pool().ExecContext(ctx, b.svc.db.Pool().Rebind(past), s.history); err != nil {
		return fmt.Errorf("write the past: %w", err)
	}
	r.Notes = append(r.Notes, fmt.Sprintf("past: %d reservations were written in %.0f s", s.history, time.Since(began).Seconds()))
	if err := settle(ctx, b.svc.db, "reservation"); err != nil {
		return err
	}
	if _, err := b.book(ctx, "", 64, 5*time.Second, b.svc.addr); err != nil {
		return err
	}
	full, err := b.book(ctx, fmt.Sprintf("with %d reservations, 256 connections", s.history), 256, s.window, b.svc.addr)
	if err != nil {
		return err
	}
	r.add("booking", "with a past, beside without", 100*full/empty, "%", "")
	return nil
}

// settle does at once what the server would do by itself in the hours after so many rows were written.
func settle(ctx context.Context, db *sqldb.DB, table string) error {
	for _, statement := range []string{"VACUUM (ANALYZE) " + table, "CHECKPOINT"} {
		if _, err := db.Pool().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// bookOnSQLite measures durable bookings on SQLite, over HTTP, by the API alone.
func bookOnSQLite(ctx context.Context, st *stage, s settings, r *report) error {
	dir, err := st.folder()
	if err != nil {
		return err
	}
	url := "sqlite:" + filepath.Join(dir, "load.db")
	db, err := sqldb.Open(ctx, url, sqldb.Options{})
	if err != nil {
		return err
	}
	if _, err := schema.Migrate(ctx, db, false); err != nil {
		return err
	}
	svc := &service{db: db}
	if err := svc.open(ctx, 2, 1_000_000); err != nil {
		return err
	}
	if err := db.Close(); err != nil { // the process that serves is the only one
		return err
	}
	_, addr, err := st.listening("bookings", url)
	if err != nil {
		return err
	}
	for i, connections := range []int{16, 64} {
		window := s.window
		if i == 0 {
			window = 2 * time.Second
		}
		m := st.startMeter()
		c, err := st.crowd(crowdOrders{Addr: addr, Key: svc.key, Slots: svc.slots[i : i+1], Connections: connections, Window: window, First: i * 10_000_000})
		if err != nil {
			return err
		}
		if i > 0 {
			r.add("sqlite", "one slot, 64 connections: durable bookings", float64(c.Booked)/c.Ended.Sub(c.Began).Seconds(), "/s", "")
			r.add("sqlite", "one slot, 64 connections: p99", c.P99, "ms", "")
			r.Notes = append(r.Notes, m.note("sqlite"))
		}
	}
	return nil
}

// open loads a programme whose window is open, with so many slots, and makes an API key.
func (s *service) open(ctx context.Context, slots, capacity int) error {
	var b strings.Builder
	now := time.Now()
	fmt.Fprintf(&b, "id: load\nname: {ko: 예방접종, en: Vaccination}\ntag: {ko: 백신예약, en: Vaccine}\ntime_zone: Asia/Seoul\n"+
		"opens_at: %s\ncloses_at: %s\nsites:\n  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}\nslots:\n",
		now.Add(-time.Hour).Format(time.RFC3339), now.Add(24*time.Hour).Format(time.RFC3339))
	for i := range slots {
		s.slots = append(s.slots, fmt.Sprintf("slot-%d", i))
		fmt.Fprintf(&b, "  - {id: slot-%d, site: gangnam, starts_at: %s, capacity: %d}\n", i, now.AddDate(0, 0, 7).Format(time.RFC3339), capacity)
	}
	programme, err := booking.ParseProgramme(strings.NewReader(b.String()))
	if err != nil {
		return err
	}
	if _, err := booking.ApplyProgramme(ctx, s.db, programme, booking.ApplyOptions{By: "load"}); err != nil {
		return err
	}
	s.key, err = booking.CreateKey(ctx, s.db, booking.KeySpec{Name: "load"})
	return err
}

// crowd runs a crowd to its end. One that was answered with anything but bookings is an error.
func (st *stage) crowd(o crowdOrders) (c crowdReport, err error) {
	p, err := st.child("crowd", o)
	if err != nil {
		return c, err
	}
	if err := p.hear(&c); err != nil {
		return c, err
	}
	if len(c.Others) > 0 || c.Booked == 0 {
		return c, fmt.Errorf("the crowd was answered with more than bookings: %v", c.Others)
	}
	return c, nil
}
