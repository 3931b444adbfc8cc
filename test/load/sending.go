package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"ansim/cmd/app"
	"ansim/notifier/sandbox"
	"ansim/schema/sqldb"
)

// share is at which part of the texts the clock stops when speeds are compared: the last of those whose answer was lost are
// found by design some seconds later.
const share = 0.98

// sendOnly measures the sender with the crowd off: messages are there already, and go to the phone network, without
// receipts and with them, and with 1 % of the answers lost.
func sendOnly(ctx context.Context, st *stage, s settings, r *report) error {
	q, err := st.quay(ctx)
	if err != nil {
		return err
	}
	silent := sandbox.Rule{Callbacks: sandbox.CallbacksNone}
	if err := q.faults(ctx, []sandbox.Rule{silent}); err != nil { // else the receipts of the warm-up come into the first variant
		return err
	}
	if _, err := q.send(ctx, warmPeople); err != nil {
		return err
	}
	type variant struct {
		name, bare string
		rules      []sandbox.Rule
		per        float64
	}
	lost := func(answer sandbox.Answer) sandbox.Rule {
		return sandbox.Rule{Match: sandbox.Match{Probability: 0.0034}, Answer: answer, Callbacks: sandbox.CallbacksNone}
	}
	variants := []variant{
		{name: "without receipts", bare: "3,400 to 4,700", rules: []sandbox.Rule{silent}},
		{name: "without receipts, 1 % of answers lost", rules: []sandbox.Rule{lost(sandbox.AnswerHang), lost(sandbox.AnswerDrop), lost(sandbox.Answer500), silent}},
		{name: "without receipts, again", rules: []sandbox.Rule{silent}},
		{name: "with receipts"},
	}
	for i := range variants {
		v := &variants[i]
		if err := q.faults(ctx, v.rules); err != nil {
			return err
		}
		m := st.startMeter()
		if v.per, err = q.send(ctx, s.people); err != nil {
			return err
		}
		r.Notes = append(r.Notes, m.note("sending "+v.name))
		r.add("sending", v.name+", to 98 % accepted", v.per, "texts/s", v.bare)
	}
	r.add("sending", "1 % lost, beside the mean of before and after", 100*2*variants[1].per/(variants[0].per+variants[2].per), "%", "")
	if err := q.faults(ctx, nil); err != nil {
		return err
	}
	return judge(ctx, q.svc.config.Database(), q.network)
}

// finished writes messages of the past: delivered, and nothing is due for them. Their ids grow with time, as ours do.
const finished = `INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, attempts, event_at, created_at,
		updated_at, accepted_at, delivered_at)
	SELECT CAST('00000000-0000-7000-8000-' || n AS uuid), CAST('00000000-0000-7001-8000-' || n AS uuid),
		CAST('00000000-0000-7002-8000-' || n AS uuid), 1, 'confirmation', 'resident', 'delivered', 1, at, at, at, at, at
	FROM (SELECT lpad(to_hex(i), 12, '0') AS n, now() - interval '2 days' + i * interval '10 milliseconds' AS at
		FROM generate_series(1, CAST(? AS integer)) AS i) AS past`

// sendWithHistory measures whether finding what is to be sent takes longer the more was sent before.
func sendWithHistory(ctx context.Context, st *stage, s settings, r *report) error {
	q, err := st.quay(ctx)
	if err != nil {
		return err
	}
	if err := q.faults(ctx, []sandbox.Rule{{Callbacks: sandbox.CallbacksNone}}); err != nil {
		return err
	}
	if _, err := q.send(ctx, warmPeople); err != nil {
		return err
	}
	empty, err := q.send(ctx, s.people)
	if err != nil {
		return err
	}
	jobs := []string{"send", "look", "poll"}
	before := map[string]float64{}
	for _, job := range jobs {
		if before[job], err = q.pickTime(ctx, job); err != nil {
			return err
		}
	}
	began := time.Now()
	if _, err := q.svc.db.Pool().ExecContext(ctx, q.svc.db.Pool().Rebind(finished), s.history); err != nil {
		return fmt.Errorf("write the past: %w", err)
	}
	r.Notes = append(r.Notes, fmt.Sprintf("history: %d finished messages were written in %.0f s", s.history, time.Since(began).Seconds()))
	if err := settle(ctx, q.svc.db, "message"); err != nil { // what writing them left to do is not the sender's
		return err
	}
	if _, err := q.send(ctx, warmPeople); err != nil {
		return err
	}
	full, err := q.send(ctx, s.people)
	if err != nil {
		return err
	}
	r.add("history", "no finished messages, to 98 % accepted", empty, "texts/s", "")
	r.add("history", fmt.Sprintf("%d finished messages, to 98 %% accepted", s.history), full, "texts/s", "")
	r.add("history", "with them, beside without", 100*full/empty, "%", "")
	for _, job := range jobs {
		ms, err := q.pickTime(ctx, job)
		if err != nil {
			return err
		}
		r.add("history", "finding up to 64 due to "+job+", without them", before[job], "ms", "")
		r.add("history", "finding up to 64 due to "+job+", with them", ms, "ms", "")
	}
	return nil
}

// pickTime is how long the database takes to find work, by its own account: the median of many, as a thousand texts wait.
func (q *quay) pickTime(ctx context.Context, job string) (ms float64, err error) {
	tx, err := q.svc.db.Pool().BeginTxx(ctx, nil) // nobody else sees the rows that are due
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `INSERT INTO message_queue (message_id, job, priority, due_at, since)
		SELECT id, '`+job+`', 0, now(), now() FROM message ORDER BY id DESC LIMIT 1000 ON CONFLICT (message_id) DO UPDATE
		SET job = excluded.job, priority = 0, due_at = now()`); err != nil {
		return 0, err
	}
	var times []float64
	for range 101 {
		var plan []byte
		if err := tx.GetContext(ctx, &plan, `EXPLAIN (ANALYZE, FORMAT JSON) SELECT m.id FROM message_queue q
			JOIN message m ON m.id = q.message_id WHERE q.job = '`+job+`' AND q.priority = 0 AND q.due_at <= now()
			ORDER BY q.due_at LIMIT 64 FOR UPDATE OF m SKIP LOCKED`); err != nil {
			return 0, err
		}
		var out []struct {
			Time float64 `json:"Execution Time"`
		}
		if err := json.Unmarshal(plan, &out); err != nil || len(out) != 1 {
			return 0, fmt.Errorf("read the plan: %w", err)
		}
		times = append(times, out[0].Time)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// quay is where messages wait to be sent.
type quay struct {
	svc     *service
	network string
	people  int
}

// quay starts a phone network and a service that sends, and nothing else.
func (st *stage) quay(ctx context.Context) (*quay, error) {
	dir, err := st.folder()
	if err != nil {
		return nil, err
	}
	network, err := st.child("phones", filepath.Join(dir, "phones"))
	if err != nil {
		return nil, err
	}
	var at address
	if err := network.hear(&at); err != nil {
		return nil, err
	}
	svc, err := st.serve(ctx, nowhere, at.URL, []app.Role{app.API, app.Notifier}, 1, 1_000_000)
	if err != nil {
		return nil, err
	}
	return &quay{svc: svc, network: at.URL}, nil
}

// faults sets the phone network's rules.
func (q *quay) faults(ctx context.Context, rules []sandbox.Rule) error {
	if rules == nil {
		rules = []sandbox.Rule{}
	}
	body, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, q.network+"/sandbox/faults", bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("the phone network does not take the faults: %s", res.Status)
	}
	return nil
}

// booked writes people's reservations with everything that belongs to them, as of n bookings whose events came through Kafka.
// The first statement makes the rows, the others what follows from them.
var booked = []string{
	`CREATE TEMPORARY TABLE new_person ON COMMIT DROP AS SELECT i, gen_random_uuid() AS reservation_id, gen_random_uuid() AS event_id,
		gen_random_uuid() AS message_id FROM generate_series(CAST(? AS integer), CAST(? AS integer)) AS i`,
	`INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date, phone,
		language, created_at, updated_at) SELECT reservation_id, lpad(CAST(i AS text), 10, '0'), 'load', 'slot-0', (SELECT id FROM api_key),
		1, 'confirmed', CAST('\x' || lpad(to_hex(i), 64, '0') AS bytea), '홍길동', '1967-05-05',
		'+8210' || lpad(CAST(20000000 + i AS text), 8, '0'), 'ko', now(), now() FROM new_person`,
	`INSERT INTO outbox (event_id, type, reservation_id, version, recipients, created_at)
		SELECT event_id, 'ansim.reservation.booked.v1', reservation_id, 1, 'resident', now() FROM new_person`,
	`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, event_at, created_at, updated_at)
		SELECT message_id, event_id, reservation_id, 1, 'confirmation', 'resident', 'pending', now(), now(), now() FROM new_person`,
	`INSERT INTO message_queue (message_id, job, priority, due_at, since) SELECT message_id, 'send', 0, now(), now() FROM new_person`,
	`UPDATE slot SET taken = taken + (SELECT COUNT(*) FROM new_person) WHERE id = 'slot-0'`,
}

// send lays out n messages, and waits until all are accepted. It returns how many a second were, up to share of them.
func (q *quay) send(ctx context.Context, n int) (float64, error) {
	first := q.people + 1
	q.people += n
	err := q.svc.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for i, query := range booked {
			var args []any
			if i == 0 {
				args = []any{first, q.people}
			}
			if _, err := tx.Exec(ctx, query, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("lay out messages: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for waiting := -1; waiting != 0; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("of %d texts some still wait: %w", n, ctx.Err())
		}
		// As the writers ask, by the index: whoever walks through all that waits for receipts takes a tenth of what is measured.
		err := q.svc.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Get(ctx, &waiting, `SELECT COUNT(*) FROM (SELECT 1 FROM message_queue WHERE job IN ('send', 'answer', 'look') LIMIT 1) AS one`)
		})
		if err != nil {
			return 0, err
		}
	}
	var row struct {
		Began *sqldb.Time `db:"began"`
		Ended *sqldb.Time `db:"ended"`
	}
	err = q.svc.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &row, `WITH m AS (SELECT id, accepted_at FROM message ORDER BY created_at DESC LIMIT `+strconv.Itoa(n)+`)
			SELECT (SELECT MIN(started_at) FROM attempt JOIN m ON m.id = message_id) AS began,
				percentile_disc(`+fmt.Sprint(share)+`) WITHIN GROUP (ORDER BY accepted_at) AS ended FROM m`)
	})
	if err != nil {
		return 0, err
	}
	return share * float64(n) / row.Ended.Sub(row.Began.Time).Seconds(), nil
}
