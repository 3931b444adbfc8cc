// Package kafkatest gives tests a broker: a real Apache Kafka 4.x in a process of its own, and the embedded one.
//
// Apache Kafka comes as jars from Maven's registry, since a test machine has Java more often than containers. They are
// taken from the folder ANSIM_TEST_KAFKA_LIBS, or from a cache in the user's cache folder, which is filled by Maven when
// ANSIM_TEST_REQUIRE is 1. Without Java or jars such tests are skipped and say so; with ANSIM_TEST_REQUIRE=1 they fail.
//
// Every test has a broker of its own, because the topic's name is fixed, and because most of what is worth testing is what
// happens when the broker goes away.
package kafkatest

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"ansim/outbox/kafka/embedded"
	"ansim/test/port"
)

// Cluster is a broker that a test may mistreat. Its methods end the test when they fail.
type Cluster interface {
	// Addr is its host:port, which stays the same over Restart and Wipe.
	Addr() string
	// Stop ends it in order; Addr then refuses connections.
	Stop()
	// Restart stops it, if it runs, and starts it again with what it had stored.
	Restart()
	// Wipe stops it, if it runs, and starts it again empty, as another cluster.
	Wipe()
}

// Each runs fn as the subtests "embedded" and "apache", each with the address of a fresh broker.
func Each(t *testing.T, fn func(t *testing.T, addr string)) {
	EachCluster(t, func(t *testing.T, c Cluster) { fn(t, c.Addr()) })
}

// EachCluster is Each for tests that stop and start the broker.
func EachCluster(t *testing.T, fn func(t *testing.T, c Cluster)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		fn(t, StartEmbedded(t))
	})
	t.Run("apache", func(t *testing.T) {
		t.Parallel()
		fn(t, Start(t))
	})
}

// Embedded starts an embedded broker for the test and returns its address.
func Embedded(t testing.TB) string { return StartEmbedded(t).Addr() }

// StartEmbedded starts an embedded broker for the test.
func StartEmbedded(t testing.TB) *EmbeddedBroker {
	t.Helper()
	b := &EmbeddedBroker{t: t, dir: t.TempDir()}
	// Its port, as it remembers it itself, is one that nobody else is given while it is stopped.
	p, err := port.Free()
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "port"), []byte(strconv.Itoa(p)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Restart()
	t.Cleanup(b.Stop)
	return b
}

// EmbeddedBroker is the embedded broker on a folder of the test.
type EmbeddedBroker struct {
	t      testing.TB
	dir    string
	broker *embedded.Broker
	addr   string
}

// Addr implements Cluster.
func (b *EmbeddedBroker) Addr() string { return b.addr }

// Stop implements Cluster.
func (b *EmbeddedBroker) Stop() {
	b.t.Helper()
	if b.broker == nil {
		return
	}
	if err := b.broker.Close(); err != nil {
		b.t.Errorf("stop embedded broker: %v", err)
	}
	b.broker = nil
}

// Restart implements Cluster.
func (b *EmbeddedBroker) Restart() {
	b.t.Helper()
	b.Stop()
	broker, err := embedded.Start(b.dir, slog.New(slog.NewTextHandler(b.t.Output(), nil)))
	if err != nil {
		b.t.Fatalf("start embedded broker: %v", err)
	}
	if b.addr != "" && b.addr != broker.Addr() {
		b.t.Fatalf("embedded broker moved from %s to %s", b.addr, broker.Addr())
	}
	b.broker, b.addr = broker, broker.Addr()
}

// Wipe implements Cluster.
func (b *EmbeddedBroker) Wipe() {
	b.t.Helper()
	b.Stop()
	if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
		b.t.Fatalf("wipe embedded broker: %v", err)
	}
	b.Restart()
}

// missing skips the test and says why, or fails it where everything has to be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("ANSIM_TEST_REQUIRE") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED, not tested on Apache Kafka: "+format, args...)
}
