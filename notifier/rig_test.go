package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/notifier/twilio"
	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// patience is how long a test waits for what must come; nothing is decided by its length.
const patience = 3 * time.Minute

// quick are the times of a pipeline whose tests need not wait for minutes. No request ends by its deadline: on a slow machine that
// would be before what the test waits for has come.
var quick = notifier.Policy{
	Looks:      []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 120 * time.Millisecond, 200 * time.Millisecond},
	FirstPause: 10 * time.Millisecond, LongestPause: 50 * time.Millisecond, ConfigurationPause: 50 * time.Millisecond,
	SweepEvery: -1, LookEvery: 20 * time.Millisecond,
	Lease: 3 * patience, Deadline: 2 * patience,
}

// hasty is quick with a short deadline, for providers that do not answer. It leaves a slow machine time to begin.
func hasty() notifier.Policy {
	p := quick
	p.Lease, p.Deadline = 15*time.Second, 2*time.Second
	return p
}

// searching is hasty for texts that the network has taken. The last look is far beyond the deadline, so that one which was taken late,
// on a slow machine, is found and not sent again.
func searching() notifier.Policy {
	p := hasty()
	p.Looks = []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 120 * time.Millisecond, 12 * time.Second}
	return p
}

// rig is a notifier between a source of events that the test holds and a phone network.
type rig struct {
	t       *testing.T
	db      *sqldb.DB
	phones  *sandbox.Server
	wire    *wire            // between us and the phone network
	api     *httptest.Server // the phone network's
	back    *httptest.Server // our callback endpoint
	rec     *notifier.Recorder
	source  *source
	offset  atomic.Int64 // of the last record that was delivered
	policy  notifier.Policy
	written notifier.Written // nil: every event is believed

	figures *prometheus.Registry // the recorder's and the notifiers'
	metrics *notifier.Metrics
	looked  func(context.Context, *sqldb.Tx) // when texts are about to begin, their reservations are locked

	mu   sync.Mutex
	book map[string]notifier.Appointment
}

// source hands out what the test puts in, and keeps what was committed.
type source struct {
	records   chan kafka.Record
	mu        sync.Mutex
	committed int
	out       map[int64]kafka.Record // handed out and not committed, by offset
}

func newSource() *source {
	return &source{records: make(chan kafka.Record, 10000), out: map[int64]kafka.Record{}}
}

func (s *source) Fetch(ctx context.Context, limit int) (rs []kafka.Record, err error) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range rs {
			s.out[r.Offset] = r
		}
	}()
	select {
	case r := <-s.records:
		rs = append(rs, r)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for len(rs) < limit {
		select {
		case r := <-s.records:
			rs = append(rs, r)
		default:
			return rs, nil
		}
	}
	return rs, nil
}

func (s *source) Reading() bool { return true }

func (s *source) Commit(_ context.Context, rs []kafka.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed += len(rs)
	for _, r := range rs {
		delete(s.out, r.Offset)
	}
	return nil
}

// rejoin is what Kafka does when a consumer has gone: what it had fetched and not committed is handed out again.
func (s *source) rejoin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.out {
		s.records <- r
	}
	clear(s.out)
}

func (s *source) commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

func newRig(t *testing.T, db *sqldb.DB, policy notifier.Policy) *rig {
	t.Helper()
	return newRigWith(t, db, policy, sandbox.Options{SentAfter: [2]time.Duration{0, time.Millisecond},
		DeliveredAfter: [2]time.Duration{time.Millisecond, 2 * time.Millisecond}, CallbackRetries: []time.Duration{50 * time.Millisecond}})
}

// newRigWith is newRig with a phone network of one's own.
func newRigWith(t *testing.T, db *sqldb.DB, policy notifier.Policy, net sandbox.Options) *rig {
	t.Helper()
	r := &rig{t: t, db: db, policy: policy, book: map[string]notifier.Appointment{}, source: newSource()}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if r.phones, err = sandbox.New(net); err != nil {
		t.Fatal(err)
	}
	r.wire = newWire(r.phones)
	r.api = httptest.NewServer(r.wire)
	r.figures = prometheus.NewRegistry()
	r.metrics = notifier.NewMetrics(r.figures)
	r.rec = notifier.NewRecorder(db, policy, r.metrics, log)
	var callback http.Handler
	r.back = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { callback.ServeHTTP(w, req) }))
	callback, err = twilio.NewCallback(twilio.CallbackOptions{AccountSID: r.phones.AccountSID(), Tokens: []string{r.phones.AuthToken()},
		PublicURL: r.back.URL, Log: log, Receive: func(ctx context.Context, rc twilio.Receipt) error {
			err := r.rec.Receive(ctx, notifier.Receipt{Token: rc.Token, SID: rc.SID, Status: rc.Status, ErrorCode: rc.ErrorCode,
				Disposition: rc.Disposition})
			if errors.Is(err, notifier.ErrUnknownAttempt) || errors.Is(err, notifier.ErrForeign) {
				return twilio.ErrUnknownAttempt
			}
			return err
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.wire.open()
		r.api.CloseClientConnections()
		r.api.Close()
		_ = r.phones.Close()
		r.back.Close()
		r.rec.Stop()
	})
	return r
}

// start runs a notifier until the test ends.
func (r *rig) start() *notifier.Notifier {
	r.t.Helper()
	return r.startAt(r.api.URL)
}

// startAt is start with the phone network at another address.
func (r *rig) startAt(baseURL string) *notifier.Notifier {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	provider, err := twilio.New(twilio.Options{AccountSID: r.phones.AccountSID(), AuthToken: r.phones.AuthToken(),
		From: "+15005550006", BaseURL: baseURL, PublicURL: r.back.URL, Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(provider.Close)
	n := notifier.Start(notifier.Options{DB: r.db, Source: r.source, Written: r.written, Directory: r.directory, Provider: provider, Recorder: r.rec,
		Policy: r.policy, Metrics: r.metrics, Log: log})
	r.t.Cleanup(n.Stop)
	return n
}

func (r *rig) directory(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]notifier.Appointment, error) {
	if lock && r.looked != nil {
		r.looked(ctx, tx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]notifier.Appointment{}
	for _, id := range ids {
		if a, ok := r.book[id]; ok {
			out[id] = a
		}
	}
	return out, nil
}

// reservation makes one that the directory knows; i chooses its number and code.
func (r *rig) reservation(i int) string {
	id := uuid.Must(uuid.NewV7()).String()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.book[id] = notifier.Appointment{ReservationID: id, Code: fmt.Sprintf("K7Q29%05d", i), Version: 1, Status: "confirmed", Name: "홍길동",
		Phone: personal.Phone(fmt.Sprintf("+8210%08d", 12340000+i)), Language: "ko", StartsAt: time.Now().Add(72 * time.Hour),
		TimeZone: "Asia/Seoul", TagKo: "백신예약", TagEn: "Vaccine", SiteKo: "강남구보건소", SiteEn: "Gangnam Health Center"}
	return id
}

// cancel cancels it: the directory says so, and the event is returned.
func (r *rig) cancel(id string) event.Event {
	version := r.alter(id, func(a *notifier.Appointment) { a.Version, a.Status = a.Version+1, "cancelled" }).Version
	return r.event(id, event.Cancelled, version)
}

// change moves it to another day: the directory says so, and the event is returned.
func (r *rig) change(id string) event.Event {
	version := r.alter(id, func(a *notifier.Appointment) { a.Version, a.StartsAt = a.Version+1, a.StartsAt.Add(24*time.Hour) }).Version
	return r.event(id, event.Changed, version)
}

// again is somebody's n-th request to send a reservation's text once more.
func (r *rig) again(id string, n int) event.Event {
	e := r.event(id, event.Booked, 1)
	e.Resend = n
	return e
}

// alter changes what the directory says of a reservation.
func (r *rig) alter(id string, how func(*notifier.Appointment)) notifier.Appointment {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.book[id]
	how(&a)
	r.book[id] = a
	return a
}

// crowd makes n reservations and the events of their bookings.
func (r *rig) crowd(n int) (ids []string, events []event.Event) {
	for i := range n {
		ids = append(ids, r.reservation(i))
		events = append(events, r.event(ids[i], event.Booked, 1))
	}
	return ids, events
}

func (r *rig) event(id string, typ event.Type, version int, to ...event.Recipient) event.Event {
	if len(to) == 0 {
		to = []event.Recipient{event.Resident}
	}
	return event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: typ, ReservationID: id, Version: version, Recipients: to, Time: time.Now()}
}

// deliver hands events to the intake as Kafka does.
func (r *rig) deliver(events ...event.Event) {
	for _, e := range events {
		h, b, err := event.Encode(e)
		if err != nil {
			r.t.Fatal(err)
		}
		r.source.records <- kafka.Record{Topic: event.Topic, Offset: r.offset.Add(1), Headers: h, Body: b}
	}
}

// insertOutbox commits events as booking does, without Kafka.
func (r *rig) insertOutbox(events ...event.Event) {
	r.t.Helper()
	err := r.db.Write(r.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, events) })
	if err != nil {
		r.t.Fatal(err)
	}
}

// texts reads what is known of a reservation's texts.
func (r *rig) texts(id string) []notifier.TextStatus {
	r.t.Helper()
	found, err := notifier.Texts(r.t.Context(), r.db, []string{id})
	if err != nil {
		r.t.Fatal(err)
	}
	return found[id]
}

// until waits for cond; what it waits for comes from other goroutines through the database.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			r.t.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

// untilState waits until the newest text of each reservation is in the state.
func (r *rig) untilState(s notifier.State, ids ...string) {
	r.t.Helper()
	r.until("texts are "+string(s), func() bool {
		found, err := notifier.Texts(r.t.Context(), r.db, ids)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, id := range ids {
			if list := found[id]; len(list) == 0 || list[len(list)-1].State != s {
				return false
			}
		}
		return true
	})
}

// taken counts the texts that the network took.
func (r *rig) taken() int { return len(r.phones.Texts()) }

// faults sets the network's rules.
func (r *rig) faults(rules ...sandbox.Rule) {
	r.t.Helper()
	if err := r.phones.SetFaults(rules...); err != nil {
		r.t.Fatal(err)
	}
}

// query reads rows of the database.
func (r *rig) query(into any, sql string, args ...any) {
	r.t.Helper()
	err := r.db.Read(r.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return tx.Select(ctx, into, sql, args...) })
	if err != nil {
		r.t.Fatal(err)
	}
}

// exactlyOne judges by the network's own log: each reservation got one text, with its code, at its number, nobody else got
// any, and no number the same words twice.
func (r *rig) exactlyOne(ids ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	type words struct{ to, body string }
	texts, to := map[words]int{}, map[string]int{}
	for _, x := range r.phones.Texts() {
		if texts[words{x.To, x.Body}]++; texts[words{x.To, x.Body}] == 2 {
			r.t.Errorf("text %d (%s) says what the same number had been told before", x.Seq, x.SID)
		}
		to[x.To]++
	}
	for _, id := range ids {
		a := r.book[id]
		if n := to[a.Phone.Reveal()]; n != 1 {
			r.t.Errorf("reservation %s got %d texts", id, n)
		}
		delete(to, a.Phone.Reveal())
	}
	for range to {
		r.t.Error("a number of no reservation got a text")
	}
	for x := range texts {
		if !r.codeOf(x.to, x.body) {
			r.t.Error("a text does not carry the code of its number's reservation")
		}
	}
	if v := r.phones.Violations(); len(v) != 0 {
		r.t.Errorf("violations: %v", v)
	}
}

// codeOf says whether a text to the number carries its reservation's code; r.mu is held.
func (r *rig) codeOf(to, body string) bool {
	for _, a := range r.book {
		if a.Phone.Reveal() == to && strings.Contains(body, a.Code[:5]+"-"+a.Code[5:]) {
			return true
		}
	}
	return false
}

// figure is the value of one of the recorder's figures.
func (r *rig) figure(name string) float64 {
	r.t.Helper()
	families, err := r.figures.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	r.t.Fatalf("no figure %s", name)
	return 0
}
