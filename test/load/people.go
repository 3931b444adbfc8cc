package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ansim/notifier/console/staff"
	"ansim/schema/sqldb"
)

// residents are s.history people who are booked: one in four thousand has the same name, one in eight a reference.
const residents = `INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date, phone,
		language, reference, created_at, updated_at)
	SELECT gen_random_uuid(), 'P' || lpad(CAST(i AS text), 9, '0'), 'load', 'slot-' || i % 40,
		(SELECT id FROM api_key), 1, 'confirmed', CAST('\xff' || lpad(to_hex(i), 62, '0') AS bytea),
		substr('김이박최정강조윤장임한오서신권황안송류홍', 1 + i % 20, 1) || substr('가나다라마바사아자차카타파하거너더러머버', 1 + (i / 20) % 20, 1) ||
			substr('고노도로모보소오조초구누두루무부수우주추', 1 + (i / 400) % 10, 1),
		'1967-05-05', '+8210' || lpad(CAST(20000000 + i % 80000000 AS text), 8, '0'), 'ko',
		CASE WHEN i % 8 = 0 THEN 'ref-' || i END, at, at
	FROM (SELECT i, now() - interval '1 day' + i * interval '1 millisecond' AS at FROM generate_series(1, CAST(? AS integer)) AS i) AS people`

// askAtPages measures what people wait for at the pages while many reservations are there: residents who look themselves up, and
// staff who search by code, number, name and reference. Nothing else is asked of the service meanwhile.
func askAtPages(ctx context.Context, st *stage, s settings, r *report) error {
	b, err := st.counter(ctx, s)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := b.svc.db.Pool().ExecContext(ctx, b.svc.db.Pool().Rebind(residents), s.history); err != nil {
		return fmt.Errorf("write the reservations: %w", err)
	}
	r.Notes = append(r.Notes, fmt.Sprintf("pages: %d reservations were written in %.0f s", s.history, time.Since(began).Seconds()))
	if err := settle(ctx, b.svc.db, "reservation"); err != nil {
		return err
	}
	password := rand.Text()
	if err := staff.Add(ctx, b.svc.db, "cli:load", "load", staff.Agent, password); err != nil {
		return err
	}
	cookie, err := signIn(ctx, b.svc.addr, "load", password)
	if err != nil {
		return err
	}
	var booked []lookedUp
	err = b.svc.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error { // every thousandth, from everywhere
		return tx.Select(ctx, &booked, `SELECT CAST(id AS text) AS id, code, birth_date, phone, name, reference FROM reservation
			WHERE code IN (SELECT 'P' || lpad(CAST(i AS text), 9, '0') FROM generate_series(8, CAST(? AS integer), CAST(? AS integer)) AS i)`, s.history, max(1, s.history/8000)*8)
	})
	if err != nil {
		return err
	}
	const form = "application/x-www-form-urlencoded"
	page, searches := []string{}, map[string][]string{}
	for _, who := range booked {
		page = append(page, request(b.svc.addr, "/r", "", form, url.Values{"code": {who.Code}, "birth": {who.BirthDate}}.Encode()))
		search := func(kind, words string) {
			searches[kind] = append(searches[kind], request(b.svc.addr, "/console/search", "Cookie: "+cookie+"\r\n", form, url.Values{"q": {words}}.Encode()))
		}
		search("code", who.Code)
		search("number", strings.Replace(who.Phone, "+82", "0", 1))
		search("name", who.Name)
		if who.Reference != nil {
			search("reference", *who.Reference)
		}
	}
	ask := func(name string, requests []string, perSecond int, window time.Duration) error {
		m := st.startMeter()
		done, err := st.look(lookOrders{Addr: b.svc.addr, Requests: requests, Connections: 16, PerSecond: perSecond, Window: window})
		if err != nil {
			return err
		}
		l := <-done
		if l.Failed > 0 || l.Done == 0 {
			return fmt.Errorf("%s: %d of %d requests failed", name, l.Failed, l.Failed+l.Done)
		}
		if name == "" {
			return nil
		}
		r.add("pages", name+": p50", l.P50, "ms", "")
		r.add("pages", name+": p99", l.P99, "ms", "")
		r.Notes = append(r.Notes, m.note("pages, "+name)+fmt.Sprintf("; %d requests", l.Done))
		return nil
	}
	if err := ask("", page, 100, 3*time.Second); err != nil { // warms up
		return err
	}
	errs := []error{ask(fmt.Sprintf("a resident looks, 200 a second, %d reservations", s.history), page, 200, s.window)}
	for _, kind := range []string{"code", "number", "name", "reference"} {
		errs = append(errs, ask("", searches[kind], 25, 2*time.Second), ask(fmt.Sprintf("staff search by %s, 50 a second, %d reservations", kind, s.history), searches[kind], 50, s.window))
	}
	return errors.Join(errs...)
}

// signIn returns the cookie of a session.
func signIn(ctx context.Context, addr, name, password string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/console/sign-in", strings.NewReader(url.Values{"name": {name}, "password": {password}}.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		return c.Name + "=" + c.Value, nil
	}
	return "", fmt.Errorf("sign in: status %d and no cookie", res.StatusCode)
}
