// Package embedded is a Kafka broker inside the process, for one `serve` on one machine and for the demo, so that the same
// Kafka client code runs there as against Apache Kafka.
//
// It is kfake, franz-go's broker for tests, with a data folder. It speaks the protocol (produce, fetch, consumer groups,
// topics) and keeps records, offsets and topic ids in files; every write is synced before it is answered, so a process that
// is killed loses nothing that was acknowledged.
//
// # Limits
//
// It was written for tests, and is good for a demo, a laptop and a small installation, not for the night of the rush:
//
//   - One goroutine handles all requests, and each produce request costs two syncs. Measured with
//     BenchmarkPublish of package kafka: 30,000 events a second in flushes of 500, a tenth of Apache Kafka's.
//   - Records are in files, but each record batch keeps about 80 bytes of index in memory as long as it is retained, and a
//     start reads all of it. A batch may hold one event, so a million lonely events cost about 80 MB.
//   - It deletes old records of topics that say so themselves only (ours does: retention.ms), looks once an hour, and frees
//     a file only when everything in it is old; files are 16 MiB here. Offsets of groups nobody uses expire after 7 days.
//   - A full disk makes it answer with errors until there is room again.
//   - There is one broker, hence one replica, and no authentication; so it listens on 127.0.0.1 only.
//   - Its folder has no lock of its own and its format may change between versions of kfake. The lock is added here. As
//     Kafka is never the only copy of an event, the folder of a stopped process may be deleted: what had not been consumed
//     is swept from the outbox.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
)

// ErrInUse is returned by Start when another process, or another Broker of this one, has the folder.
var ErrInUse = errors.New("the folder of the embedded broker is in use")

// segmentBytes is small, since a file is freed as a whole.
const segmentBytes = 16 << 20

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	lock    *flock.Flock
	addr    string
	close   sync.Once
	err     error
}

// Start runs a broker on what is in dir, which is made when missing. It listens on the port that it had the last time, if
// that is free, so that a client which outlived a restart finds it again; else on any.
func Start(dir string, log *slog.Logger) (*Broker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	switch mine, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock embedded broker: %w", err)
	case !mine:
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	b, err := start(dir, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded broker: %w", err), lock.Unlock())
	}
	b.lock = lock
	return b, nil
}

func start(dir string, log *slog.Logger) (*Broker, error) {
	ports := filepath.Join(dir, "port")
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		// Only used for a new folder; afterwards the id is that of the folder.
		kfake.ClusterID("ansim-"+uuid.NewString()),
		kfake.DataDir(filepath.Join(dir, "data")),
		kfake.SyncWrites(),
		kfake.BrokerConfigs(map[string]string{"log.segment.bytes": strconv.Itoa(segmentBytes)}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return listen(network, ports) }),
		kfake.WithLogger(logger{log}),
	)
	if err != nil {
		return nil, err
	}
	addr := cluster.ListenAddrs()[0]
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		err = os.WriteFile(ports, []byte(port), 0o600)
	}
	if err != nil {
		cluster.Close()
		return nil, err
	}
	return &Broker{cluster: cluster, addr: addr}, nil
}

// listen takes the port written in the file, or any.
func listen(network, file string) (net.Listener, error) {
	if was, err := os.ReadFile(file); err == nil {
		if port, err := strconv.ParseUint(strings.TrimSpace(string(was)), 10, 16); err == nil {
			if l, err := net.Listen(network, fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				return l, nil
			}
		}
	}
	return net.Listen(network, "127.0.0.1:0")
}

// Addr is the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and frees its folder. It may be called again.
func (b *Broker) Close() error {
	b.close.Do(func() {
		b.cluster.Close()
		b.err = b.lock.Unlock()
	})
	return b.err
}

// logger passes on what the operator should know: kfake's own levels below warning speak of each request.
type logger struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelNone || level > kfake.LogLevelWarn {
		return
	}
	slogLevel := slog.LevelWarn
	if level == kfake.LogLevelError {
		slogLevel = slog.LevelError
	}
	l.log.Log(context.Background(), slogLevel, "embedded broker", "message", fmt.Sprintf(format, args...))
}
