package rush

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"ansim/booking"
	"ansim/outbox/kafka"
	"ansim/schema"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// stage is everything that the night is played on.
type stage struct {
	Options
	binary  string
	dir     string
	env     []string // of the service's processes
	network *network
	db      *sqldb.DB
	key     string
	slots   []string
	gate    time.Time

	mu      sync.Mutex
	members []*member
	costs   []usage // of processes that have ended
	servers []server
}

// member is one process of the service. A new one takes its place when it was killed, at the same address.
type member struct {
	name    string
	roles   string
	addr    string // empty before its first start
	process *process
}

// shape is which processes make up the service.
func (o Options) shape() []string {
	switch {
	case o.embedded():
		return []string{"api,relay,notifier"}
	case o.Faults == None:
		return []string{"api,relay,notifier"}
	case o.Faults == Harsh:
		return []string{"api", "api", "relay", "relay", "notifier", "notifier", "notifier"}
	}
	return []string{"api", "api", "relay", "notifier", "notifier"}
}

func (o Options) embedded() bool { return o.DatabaseURL == "" }

// database is where it is.
func (st *stage) database() string {
	if st.embedded() {
		return "sqlite:" + filepath.Join(st.dir, "ansim.db")
	}
	return st.DatabaseURL
}

// lookAtDatabase makes sure that there is nothing in a database of one's own that the night could harm, and changes nothing.
func (st *stage) lookAtDatabase(ctx context.Context) (err error) {
	if st.embedded() {
		return nil
	}
	if st.db, err = sqldb.Open(ctx, st.database(), poolSize); err != nil {
		return err
	}
	names, err := schema.Migrate(ctx, st.db, true)
	if err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	var used, tables int
	err = st.db.Peek(ctx, &used, `SELECT CASE WHEN EXISTS (SELECT 1 FROM reservation) OR EXISTS (SELECT 1 FROM programme)
		OR EXISTS (SELECT 1 FROM api_key) OR EXISTS (SELECT 1 FROM staff) OR EXISTS (SELECT 1 FROM outbox) THEN 1 ELSE 0 END`)
	if sqldb.IsNoTable(err) { // it is empty, somebody else's, or very old
		err = st.db.Peek(ctx, &tables, `SELECT COUNT(*) FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'f') AND relpersistence <> 't'
			AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))`)
		names = nil // all are missing
	}
	switch {
	case err != nil:
		return fmt.Errorf("look at the database: %w", err)
	case tables > 0:
		return fmt.Errorf("the database is in use: it holds %d tables of something else, or of an old version. Give the rush an empty one (`createdb rush`)", tables)
	case len(names) > 0:
		return errors.New("the database is of another version than this program: give an empty one, or run `ansim migrate` on this")
	case used > 0:
		return errors.New("the database is in use: it holds programmes, reservations, keys or staff. Give the rush an empty one (`createdb rush`)")
	}
	return nil
}

// poolSize is how many connections the rush itself needs.
var poolSize = sqldb.Options{Writers: 2, Readers: 2}

// prepareDatabase gives the database its tables.
func (st *stage) prepareDatabase(ctx context.Context) (err error) {
	if st.db == nil {
		if st.db, err = sqldb.Open(ctx, st.database(), poolSize); err != nil {
			return err
		}
	}
	if _, err := schema.Migrate(ctx, st.db, false); err != nil {
		return err
	}
	return schema.Check(ctx, st.db)
}

// lookAtKafka makes sure that the topic holds nothing: events of another installation's bookings would, rightly, freeze sending.
func (st *stage) lookAtKafka(ctx context.Context) error {
	if st.embedded() {
		return nil
	}
	cluster, err := st.KafkaAccess.Cluster("--kafka", st.Kafka)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	partitions, err := kafka.ReadOffsets(ctx, cluster, "")
	if errors.Is(err, kafka.ErrNoTopic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at Kafka: %w", err)
	}
	held := int64(0)
	for _, p := range partitions {
		held += p.End - p.First
	}
	if held > 0 {
		return fmt.Errorf("the topic %s is in use: it holds %d events. Give the rush an empty Kafka, or delete the topic", event.Topic, held)
	}
	return nil
}

// prepare loads the programme, whose gate opens lead after the crowd begins to come, and makes a key for the crowd.
func (st *stage) prepare(ctx context.Context) error {
	file, slots, err := programme(st.gate, st.People)
	if err != nil {
		return err
	}
	if _, err := booking.ApplyProgramme(ctx, st.db, file, booking.ApplyOptions{By: "rush"}); err != nil {
		return err
	}
	st.slots = slots
	if st.key == "" {
		st.key, err = booking.CreateKey(ctx, st.db, booking.KeySpec{Name: "rush"})
	}
	return err
}

// soonLooks is when a lost answer is looked up in a small night. The service's own last look is after three minutes, for a provider
// that lists a text late; the network here lists it at once, and a night on a laptop is to be over in two minutes, also when a
// text is lost with a process that is killed.
var soonLooks = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// looks are when the service of this night looks for lost answers; nil for its defaults.
func (o Options) looks() []time.Duration {
	if o.embedded() {
		return soonLooks
	}
	return nil
}

// openService starts the processes of the service.
func (st *stage) openService(ctx context.Context) error {
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	kafka := st.Kafka
	if st.embedded() {
		kafka = "embedded"
	}
	st.env = append(st.network.settings(), "ANSIM_SECRET="+hex.EncodeToString(secret[:]), "ANSIM_DATA="+st.dir,
		"ANSIM_DATABASE_URL="+st.database(), "ANSIM_KAFKA_BROKERS="+kafka, "ANSIM_MIGRATE=off")
	st.env = append(st.env, st.KafkaAccess.Environ()...)
	if looks := st.looks(); looks != nil {
		words := make([]string, len(looks))
		for i, d := range looks {
			words[i] = d.String()
		}
		st.env = append(st.env, "ANSIM_RECONCILE="+strings.Join(words, ","))
	}
	for _, roles := range st.shape() {
		if _, err := st.add(ctx, roles); err != nil {
			return err
		}
	}
	return nil
}

// add starts one process more.
func (st *stage) add(ctx context.Context, roles string) (*member, error) {
	st.mu.Lock()
	m := &member{name: fmt.Sprintf("serve-%d", len(st.members)), roles: roles}
	st.mu.Unlock()
	if err := st.start(ctx, m); err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.members = append(st.members, m)
	return m, nil
}

func (st *stage) start(ctx context.Context, m *member) error {
	addr := m.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	env := st.env
	if first := st.first("api"); first != nil { // the provider calls back there
		env = append(env[:len(env):len(env)], "ANSIM_PUBLIC_URL=http://"+first.addr)
	}
	p, err := launch(st.binary, st.dir, m.name, env, "serve", "--addr", addr, "--roles", m.roles)
	if err != nil {
		return err
	}
	st.mu.Lock()
	m.process = p
	st.mu.Unlock()
	if _, err := p.says(ctx, "ansim serves at "); err != nil {
		p.kill()
		return err
	}
	if m.addr != "" {
		return nil
	}
	log, err := os.ReadFile(filepath.Join(st.dir, m.name+".log"))
	if at := listens.FindSubmatch(log); at != nil {
		m.addr = string(at[1])
		return nil
	}
	return errors.Join(fmt.Errorf("%s does not say where it listens", m.name), err)
}

// listens is how a process of the service says where it can be asked, whatever its public address is.
var listens = regexp.MustCompile(`"listens":"([^"]+)"`)

// all are the processes with a role, or all there are.
func (st *stage) all(role string) (out []*member) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, m := range st.members {
		if role == "" || slices.Contains(strings.Split(m.roles, ","), role) {
			out = append(out, m)
		}
	}
	return out
}

// first is the first process with a role, nil when there is none.
func (st *stage) first(role string) *member {
	for _, m := range st.all(role) {
		return m
	}
	return nil
}

// restart kills a process, and starts another in its place.
func (st *stage) restart(ctx context.Context, m *member, pause time.Duration) error {
	m.process.kill()
	st.settleUp(m.process)
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return st.start(ctx, m)
}

func (st *stage) settleUp(p *process) {
	u := p.usage()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.costs = append(st.costs, u)
}

// close ends everything that is still at work.
func (st *stage) close() {
	st.mu.Lock()
	members := st.members
	st.members = nil
	st.mu.Unlock()
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() {
			m.process.stop()
			st.settleUp(m.process)
		})
	}
	wg.Wait()
	if st.network != nil && st.network.process != nil {
		st.network.process.stop()
		st.settleUp(st.network.process)
		st.network.process = nil
	}
}

// stored is how many bytes the database takes.
func (st *stage) stored(ctx context.Context) (n int64, err error) {
	if !st.embedded() {
		err = st.db.Peek(ctx, &n, `SELECT pg_database_size(current_database())`)
		return n, err
	}
	for _, name := range []string{"ansim.db", "ansim.db-wal"} {
		info, err := os.Stat(filepath.Join(st.dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return n, err
		}
		if err == nil {
			n += info.Size()
		}
	}
	return n, nil
}
