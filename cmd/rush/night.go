package rush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"ansim/cmd/app"
	"ansim/notifier"
	"ansim/outbox/kafka"
	"ansim/schema/audit"
	"ansim/schema/sqldb"
)

// arrivals is how long nothing may arrive, of texts on their way to their phones and receipts on their way to us, before those that are
// missing are not waited for.
const arrivals = 15 * time.Second

// Run plays the night and returns what came of it. When ctx ends, the night does, and what had come of it by then is returned
// with Interrupted set. An error means that it could not be played.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	st := &stage{Options: o, binary: o.Program}
	if st.dir, err = os.MkdirTemp("", "ansim-rush-"); err != nil {
		return nil, err
	}
	defer func() {
		st.close()
		if st.db != nil {
			_ = st.db.Close()
		}
		logs, _ := filepath.Glob(filepath.Join(st.dir, "*.log"))
		if len(logs) == 0 || err == nil && res.OK() {
			_ = os.RemoveAll(st.dir)
		} else {
			st.say("the logs are in %s", st.dir)
		}
	}()
	if err := st.open(ctx); ctx.Err() != nil {
		return nil, errors.New("stopped before anybody came: there is nothing to report")
	} else if err != nil {
		return nil, err
	}
	w := &watcher{st: st}
	res, err = st.play(ctx, w)
	if err != nil {
		return nil, err
	}
	return res, st.reckon(context.WithoutCancel(ctx), w, res)
}

// open starts everything but the crowd.
func (st *stage) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{st.lookAtDatabase, st.lookAtKafka} { // refused before anything is changed
		if err := step(ctx); err != nil {
			return err
		}
	}
	st.say("the phone network, the database and the service start")
	if err := st.openNetwork(ctx); err != nil {
		return err
	}
	if err := st.prepareDatabase(ctx); err != nil {
		return err
	}
	st.servers = st.findServers()
	if err := st.openService(ctx); err != nil {
		return err
	}
	st.gate = time.Now().Add(warmUp + lead).Truncate(time.Millisecond)
	return st.prepare(ctx)
}

// play lets the crowd come, breaks what is to be broken, and waits until the last text is on its phone.
func (st *stage) play(ctx context.Context, w *watcher) (*Result, error) {
	res := &Result{Options: st.Options, Began: time.Now(), Gate: st.gate}
	res.Options.KafkaAccess = app.KafkaAccess{} // a report needs no password
	var err error
	if res.Empty, err = st.stored(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	watching, enough := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.watch(watching)
	}()
	defer func() { enough(); <-watched }()
	broken := make(chan []happened, 1)
	breaking, mend := context.WithCancel(ctx)
	defer mend()
	go func() { broken <- st.breakThings(breaking) }()

	history := filepath.Join(st.dir, "history.ndjson")
	crowdErr := st.crowd(ctx, history, w)
	if crowdErr != nil || ctx.Err() != nil {
		mend()
	}
	res.Faults = <-broken
	if crowdErr != nil {
		return nil, crowdErr
	}
	res.Interrupted = ctx.Err() != nil
	if !res.Interrupted {
		st.say("everybody has an answer; the last texts go out")
		if err := st.settle(ctx); err != nil {
			res.Interrupted = ctx.Err() != nil
			res.Notes = append(res.Notes, err.Error())
		}
	}
	res.Ended = time.Now()
	enough()
	<-watched
	w.look(context.WithoutCancel(ctx), true)
	for _, server := range st.servers { // before the judging, which costs them, too
		if u, known := server.usage(); known {
			st.costs = append(st.costs, u)
		} else {
			res.Notes = append(res.Notes, fmt.Sprintf(unseen, server.name))
		}
	}
	return res, nil
}

// crowd runs the crowd's process to its end, or sends it home when ctx ends.
func (st *stage) crowd(ctx context.Context, history string, w *watcher) error {
	p, err := launch(st.binary, st.dir, "crowd", nil, "crowd")
	if err != nil {
		return err
	}
	defer func() {
		p.stop()
		st.settleUp(p)
	}()
	o := orders{Key: st.key, Slots: st.slots, Seed: st.Seed, People: st.People, Gate: st.gate, Over: st.Over, Workers: hands, History: history}
	for _, m := range st.all("api") {
		o.URLs = append(o.URLs, "http://"+m.addr)
	}
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		return fmt.Errorf("tell the crowd its orders: %w", err)
	}
	home := context.AfterFunc(ctx, func() { _ = p.in.Close() })
	defer home()
	late := time.AfterFunc(warmUp+lead+st.Over+patience, func() { _ = p.in.Close() })
	defer late.Stop()
	st.say("the gate opens at %s; %d people come within %s", st.gate.Format("15:04:05"), st.People, st.Over)
	lines := json.NewDecoder(p.out)
	for {
		var t tally
		err := lines.Decode(&t)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the crowd ended too early; its log: %s", p.lastWords())
		}
		if err != nil {
			return fmt.Errorf("hear of the crowd: %w", err)
		}
		if w.hear(t); t.Done {
			return nil
		}
	}
}

// hands is how many of the crowd's requests are under way at once.
const hands = 256

// settle waits until nothing waits to be sent or found out, and then for the texts that are on their way to their phones.
func (st *stage) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := st.settled(ctx)
		if done {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("texts still waited when the night ended: %w", errors.Join(ctx.Err(), err))
		}
	}
	late := time.NewTimer(arrivals)
	defer late.Stop()
	least := math.MaxInt
	for {
		var open int
		err := st.db.Peek(ctx, &open, `SELECT COUNT(*) FROM message_queue WHERE job = 'poll'`)
		if err == nil && open == 0 {
			return nil
		}
		if err == nil && open < least {
			least = open
			late.Reset(arrivals)
		}
		select {
		case <-tick.C:
		case <-late.C:
			return nil // a receipt was lost; it is asked for after five minutes, which nobody waits for here
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settled says whether every change has its messages, and nothing waits to be sent or found out.
func (st *stage) settled(ctx context.Context) (bool, error) {
	waiting, err := notifier.Waiting(ctx, st.db)
	if err != nil || !waiting.Oldest.IsZero() {
		return false, err
	}
	var open int // asked only when nothing else is: it reads everything
	err = st.db.Peek(ctx, &open, `SELECT COUNT(*) FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.event_id = o.event_id)`)
	return err == nil && open == 0, err
}

// judge has the database held against the network's log and, where there are brokers, the topic. That the topic cannot be read, as
// before anybody came it may not be there, is noted, and the rest is judged.
func (r *Result) judge(ctx context.Context, db *sqldb.DB, log io.ReadSeeker, topic kafka.Cluster) (err error) {
	o := audit.Options{Log: log, Looks: r.Options.looks(), Brokers: topic.Brokers, Dial: topic.Dial}
	if r.Audit, err = audit.Run(ctx, db, o); !errors.Is(err, audit.ErrTopic) {
		return err
	}
	r.Notes = append(r.Notes, err.Error())
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return err
	}
	o.Brokers, o.Dial = nil, nil
	r.Audit, err = audit.Run(ctx, db, o)
	return err
}

// reckon puts the crowd's history, the network's log and the database together.
func (st *stage) reckon(ctx context.Context, w *watcher, res *Result) error {
	st.say("what people were told is held against the network's log and the database")
	entries, err := readHistory(filepath.Join(st.dir, "history.ndjson"))
	if err != nil {
		return err
	}
	log, err := os.Open(st.network.log())
	if err != nil {
		return err
	}
	defer log.Close()
	db, err := sqldb.Open(ctx, st.database(), sqldb.Options{ReadOnly: true}) // which may take its time
	if err != nil {
		return fmt.Errorf("judge: %w", err)
	}
	defer db.Close()
	var topic kafka.Cluster
	if !st.embedded() { // the embedded broker is its service's alone
		if topic, err = st.KafkaAccess.Cluster("--kafka", st.Kafka); err != nil {
			return err
		}
	}
	if err := res.judge(ctx, db, log, topic); err != nil {
		return fmt.Errorf("judge: %w", err)
	}
	var lastReceipt *sqldb.Time
	if err := db.Peek(ctx, &lastReceipt, `SELECT MAX(received_at) FROM receipt`); err != nil {
		return fmt.Errorf("read when the last receipt came: %w", err)
	}
	if lastReceipt != nil {
		res.LastReceipt = lastReceipt.Time
	}
	if res.Stored, err = st.stored(ctx); err != nil {
		return err
	}
	res.Samples = w.all()
	res.Delivered = res.Samples[len(res.Samples)-1].Arrived
	if err := st.describe(ctx, res); err != nil {
		return err
	}
	if err := res.join(entries, st.network.texts); err != nil {
		return err
	}
	res.Roles = map[string]string{}
	for _, m := range st.all("") {
		res.Roles[m.name] = m.roles
	}
	st.close() // what each process cost is known when it has ended
	res.Costs = st.costs
	return nil
}
