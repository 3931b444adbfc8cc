package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5"
	kafkago "github.com/segmentio/kafka-go"

	"ansim/schema/event"
)

// brokerRestart stops the broker, or kills it, and starts it again after a while.
func brokerRestart(kill bool, away time.Duration) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		if kill {
			st.kafka.Kill()
			st.kills.Add(1)
		} else if err := st.kafka.Halt(); err != nil {
			return nil, err
		}
		pause(ctx, away)
		return nil, st.kafka.Resume()
	}
}

// wiped puts an empty broker, another cluster, in the place of the one that was there.
func wiped(_ context.Context, st *stand) (func(context.Context) error, error) {
	return nil, st.kafka.Empty()
}

func (st *stand) kafkaClient() (*kafkago.Client, func()) {
	transport := &kafkago.Transport{}
	return &kafkago.Client{Addr: kafkago.TCP(st.kafka.Addr()), Transport: transport, Timeout: 20 * time.Second}, transport.CloseIdleConnections
}

const partitions = 12

// recreate deletes the topic and makes it again, unless somebody did already.
func recreate(ctx context.Context, st *stand) (func(context.Context) error, error) {
	client, end := st.kafkaClient()
	defer end()
	policy := backoff.WithContext(backoff.WithMaxRetries(backoff.NewConstantBackOff(200*time.Millisecond), 100), ctx)
	// On a broker that was emptied a moment ago the topic may not be there yet.
	if err := backoff.Retry(func() error {
		res, err := client.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: []string{event.Topic}})
		if err == nil {
			err = res.Errors[event.Topic]
		}
		return err
	}, policy); err != nil {
		return nil, fmt.Errorf("delete the topic: %w", err)
	}
	policy.Reset()
	return nil, backoff.Retry(func() error {
		res, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{
			{Topic: event.Topic, NumPartitions: partitions, ReplicationFactor: 1}}})
		if err == nil {
			err = res.Errors[event.Topic]
		}
		if errors.Is(err, kafkago.TopicAlreadyExists) {
			return nil
		}
		return err
	}, policy)
}

// produce writes a record to a partition.
func produce(ctx context.Context, client *kafkago.Client, partition int, records ...kafkago.Record) error {
	res, err := client.Produce(ctx, &kafkago.ProduceRequest{Topic: event.Topic, Partition: partition, RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(records...)})
	if err == nil {
		err = res.Error
	}
	return err
}

// copied is a record of the topic.
type copied struct {
	key, value []byte
	headers    []kafkago.Header
}

// republish writes what is in the topic again, three times over and from the last to the first.
func republish(ctx context.Context, st *stand) (func(context.Context) error, error) {
	client, end := st.kafkaClient()
	defer end()
	total := 0
	for p := range partitions {
		res, err := client.Fetch(ctx, &kafkago.FetchRequest{Topic: event.Topic, Partition: p, Offset: 0, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return nil, fmt.Errorf("read the topic: %w", err)
		}
		var was []copied
		for {
			r, err := res.Records.ReadRecord()
			if err != nil {
				break // the end
			}
			c := copied{headers: r.Headers}
			if c.key, err = kafkago.ReadAll(r.Key); err == nil {
				c.value, err = kafkago.ReadAll(r.Value)
			}
			if err != nil {
				return nil, err
			}
			was = append(was, c)
		}
		for range 3 {
			for chunk := range slices.Chunk(was, 200) {
				slices.Reverse(chunk)
				var records []kafkago.Record
				for _, c := range chunk {
					records = append(records, kafkago.Record{Key: kafkago.NewBytes(c.key), Value: kafkago.NewBytes(c.value), Headers: c.headers})
				}
				if err := produce(ctx, client, p, records...); err != nil {
					return nil, fmt.Errorf("publish again: %w", err)
				}
				total += len(records)
				for _, c := range chunk {
					if string(c.key) == garbageKey {
						st.garbage.Add(1)
					}
				}
			}
		}
	}
	st.note("%d events were published again", total)
	return nil, nil
}

// rebalance lets a third notifier come and go.
func rebalance(ctx context.Context, st *stand) (func(context.Context) error, error) {
	guest := &member{st: st, name: "guest", roles: "notifier"}
	for range 3 {
		if err := guest.start(ctx); err != nil {
			return nil, err
		}
		pause(ctx, 1500*time.Millisecond)
		guest.kill()
	}
	return nil, nil
}

// garbageKey is the key of records that nobody can read.
const garbageKey = "garbage"

// garbage puts into the topic what no version of ours ever wrote.
func garbage(ctx context.Context, st *stand) (func(context.Context) error, error) {
	client, end := st.kafkaClient()
	defer end()
	for i, body := range []string{"", "{", "\x00\xff", `{"version":99}`, strings.Repeat("가", 10_000)} {
		err := produce(ctx, client, i, kafkago.Record{Key: kafkago.NewBytes([]byte(garbageKey)), Value: kafkago.NewBytes([]byte(body)),
			Headers: []kafkago.Header{{Key: "specversion", Value: []byte("99")}}})
		if err != nil {
			return nil, err
		}
		st.garbage.Add(1)
	}
	return nil, nil
}

// hostileBodies sends the API what it must refuse.
func hostileBodies(ctx context.Context, st *stand) (func(context.Context) error, error) {
	const form = `{"slot_id":"s00","resident":{"identity":"%s","name":"%s","birth_date":"%s","phone":"%s"}}`
	for name, body := range map[string]string{
		"no JSON":          `{"slot_id":`,
		"another type":     `[1,2,3]`,
		"no resident":      `{"slot_id":"s00"}`,
		"NUL":              fmt.Sprintf(form, "h1", `홍\u0000`, "1967-05-05", "not a number"),
		"a name of 10 kB":  fmt.Sprintf(form, "h2", strings.Repeat("가", 3400), "1967-05-05", "010-2222-3333"),
		"no such date":     fmt.Sprintf(form, "h3", "홍길동", "1967-02-30", "010-2222-3333"),
		"no such number":   fmt.Sprintf(form, "h4", "홍길동", "1967-05-05", "12"),
		"a body of 300 kB": fmt.Sprintf(form, "h5", strings.Repeat("x", 300<<10), "1967-05-05", "010-2222-3333"),
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, st.front.URL+"/v1/reservations", bytes.NewReader([]byte(body)))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+st.key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "hostile-"+name)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // another fault of the same time
		}
		_ = res.Body.Close()
		if res.StatusCode < 400 || res.StatusCode == http.StatusInternalServerError {
			return nil, fmt.Errorf("%w: %s: status %d", errPromise, name, res.StatusCode)
		}
	}
	return nil, nil
}

// databaseRestart ends the server, in order or as a crash does, and starts it again.
func databaseRestart(kill bool) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		if kill {
			st.pg.Kill()
			st.kills.Add(1)
		} else {
			st.pg.Stop()
		}
		pause(ctx, 500*time.Millisecond)
		return nil, st.pg.Start()
	}
}

// everything kills the database and every process of ours at once.
func everything(ctx context.Context, st *stand) (func(context.Context) error, error) {
	for _, m := range st.members {
		m.busy.Lock()
		defer m.busy.Unlock()
	}
	for _, m := range st.members {
		m.kill()
	}
	st.pg.Kill()
	st.kills.Add(1)
	if err := st.pg.Start(); err != nil {
		return nil, err
	}
	return nil, st.startAll(ctx)
}

// startAll starts every member that does not run, beside each other.
func (st *stand) startAll(ctx context.Context) error {
	errs := make(chan error, len(st.members))
	n := 0
	for _, m := range st.members {
		if m.spare || m.p != nil && !m.p.ended() {
			continue
		}
		n++
		go func() { errs <- m.start(ctx) }()
	}
	var err error
	for range n {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (st *stand) admin(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, st.pg.URL()) }

// statement runs one as an administrator would.
func statement(query string) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		c, err := st.admin(ctx)
		if err != nil {
			return nil, err
		}
		defer c.Close(ctx)
		_, err = c.Exec(ctx, query)
		return nil, err
	}
}

// holding runs a statement in a transaction that is left open for as long as the fault lasts.
func holding(query string) func(context.Context, *stand) (func(context.Context) error, error) {
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		c, err := st.admin(ctx)
		if err != nil {
			return nil, err
		}
		if _, err = c.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ"); err == nil {
			_, err = c.Exec(ctx, query)
		}
		if err != nil {
			_ = c.Close(ctx)
			return nil, err
		}
		return func(ctx context.Context) error { return c.Close(ctx) }, nil
	}
}

// trigger makes the database refuse some rows with an error of a class.
func trigger(event, table, code string) func(context.Context, *stand) (func(context.Context) error, error) {
	name := "sabotage_" + table
	return func(ctx context.Context, st *stand) (func(context.Context) error, error) {
		_, err := statement(fmt.Sprintf(`CREATE OR REPLACE FUNCTION %[1]s() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN IF random() < 0.05 THEN RAISE EXCEPTION 'sabotage' USING ERRCODE = '%[4]s'; END IF; RETURN NEW; END $$;
			CREATE OR REPLACE TRIGGER %[1]s BEFORE %[2]s ON %[3]s FOR EACH ROW EXECUTE FUNCTION %[1]s()`, name, event, table, code))(ctx, st)
		return func(ctx context.Context) error {
			_, err := statement(fmt.Sprintf(`DROP TRIGGER %s ON %s`, name, table))(ctx, st)
			return err
		}, err
	}
}

// smallMegabytes is how much the small file system holds.
const smallMegabytes = 900

// errNoSmall says that there is no file system that could be filled.
var errNoSmall = errors.New("there is no small file system here (only root on Linux can make one)")

// diskFull fills the file system of the database, and frees it again.
func diskFull(ctx context.Context, st *stand) (func(context.Context) error, error) {
	if st.small == "" {
		return nil, errNoSmall
	}
	ballast := filepath.Join(st.small, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		return nil, err
	}
	defer os.Remove(ballast)
	defer f.Close()
	block := make([]byte, 64<<10)
	until := time.Now().Add(4 * time.Second)
	for time.Now().Before(until) && ctx.Err() == nil {
		// Whatever becomes free, also by the database's own tidying up, is taken at once.
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			pause(ctx, 20*time.Millisecond)
		} else if err != nil {
			return nil, err
		}
	}
	if err := errors.Join(f.Close(), os.Remove(ballast)); err != nil {
		return nil, err
	}
	if st.pg == nil {
		return nil, nil
	}
	// PostgreSQL may have given up, as its manual says: then it is started again.
	check, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if c, err := st.admin(check); err == nil {
		return nil, c.Close(ctx)
	}
	st.note("PostgreSQL ended for want of space and is started again")
	st.pg.Kill()
	return nil, st.pg.Start()
}
