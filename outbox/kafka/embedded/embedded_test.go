package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ansim/outbox/kafka"
	"ansim/outbox/kafka/embedded"
	"ansim/schema/event"
)

// With this variable set the test binary is a broker on the folder that it names.
const brokerFolder = "ANSIM_TEST_EMBEDDED_BROKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerFolder); dir != "" {
		serve(dir)
	}
	os.Exit(m.Run())
}

// serve prints the address and stays until it is killed, or its parent is.
func serve(dir string) {
	b, err := embedded.Start(dir, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(b.Addr())
	bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(0)
}

func start(t *testing.T, dir string) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestOneBrokerOneFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	if _, err := embedded.Start(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, embedded.ErrInUse) {
		t.Fatalf("second broker on the folder: %v", err)
	}
	addr := b.Addr()
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("listens on %s", addr)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if again := start(t, dir); again.Addr() != addr {
		t.Errorf("address %s, was %s", again.Addr(), addr)
	}
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(file, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started on a file")
	}
}

// A process with the broker is killed with SIGKILL while it takes events: those it acknowledged are there afterwards, once
// each place in the log, and so are the committed offsets.
func TestKilled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerFolder+"="+dir)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	brokers := []string{strings.TrimSpace(addr)}

	if err := kafka.EnsureTopics(ctx, kafka.At(brokers...), kafka.TopicOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := kafka.NewPublisher(kafka.At(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	committed := publish(t, ctx, p, 100)
	consume(t, ctx, brokers, committed)
	cluster, err := kafka.ClusterID(ctx, kafka.At(brokers...))
	if err != nil {
		t.Fatal(err)
	}

	// Acknowledged until the kill, which comes in the middle of something.
	acked := make(chan map[string]bool)
	enough := make(chan struct{})
	go func() {
		all := map[string]bool{}
		for {
			events := story(20)
			if err := p.Publish(ctx, events); err != nil {
				acked <- all
				return
			}
			for _, e := range events {
				all[e.ID] = true
			}
			if len(all) == 400 {
				close(enough)
			}
		}
	}()
	<-enough
	cmd.Process.Kill()
	want := <-acked
	cmd.Wait()

	b := start(t, dir)
	if b.Addr() != brokers[0] {
		t.Fatalf("address %s, was %s", b.Addr(), brokers[0])
	}
	if id, err := kafka.ClusterID(ctx, kafka.At(brokers...)); err != nil || id != cluster {
		t.Errorf("cluster %s, %v; was %s", id, err, cluster)
	}
	got := consume(t, ctx, brokers, want)
	for id := range committed {
		if got[id] {
			t.Fatal("a committed event came again")
		}
	}
	t.Logf("%d acknowledged events came", len(want))
}

func story(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Type: event.Booked, ReservationID: uuid.NewString(), Version: 1,
			Recipients: []event.Recipient{event.Resident}, Time: time.Date(2026, 7, 19, 11, 0, 0, 0, time.UTC),
		}
	}
	return events
}

func publish(t *testing.T, ctx context.Context, p *kafka.Publisher, n int) map[string]bool {
	t.Helper()
	events, ids := story(n), map[string]bool{}
	if err := p.Publish(ctx, events); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		ids[e.ID] = true
	}
	return ids
}

// consume reads and commits until all that is wanted has come, and returns everything that came.
func consume(t *testing.T, ctx context.Context, brokers []string, want map[string]bool) map[string]bool {
	t.Helper()
	c, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: kafka.At(brokers...)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := map[string]bool{}
	for left := len(want); left > 0; {
		records, err := c.Fetch(ctx, 500)
		if err != nil {
			t.Fatalf("%v; %d events are missing", err, left)
		}
		for _, r := range records {
			e, err := event.Decode(r.Headers, r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if want[e.ID] && !got[e.ID] {
				left--
			}
			got[e.ID] = true
		}
		if err := c.Commit(ctx, records); err != nil {
			t.Fatal(err)
		}
	}
	return got
}
