package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/test/port"
)

const (
	startTimeout = 90 * time.Second // two cores may be shared by several brokers that start
	stopTimeout  = 30 * time.Second
	startTries   = 3
)

// Broker is an Apache Kafka of one node, broker and controller, in a process of its own that listens on loopback only.
type Broker struct {
	t          testing.TB
	libs, dir  string
	addr, ctrl string
	front      func(addr string) string // nil: clients come straight
	named      string                   // the address that it tells its clients
	secure     *Secure                  // what else it offers; may be nil
	jvm        []string
	process    *process
}

// Start runs a fresh Apache Kafka for the test and returns once it answers.
func Start(t testing.TB) *Broker {
	t.Helper()
	return start(t, nil)
}

func start(t testing.TB, secure *Secure) *Broker {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		missing(t, "no java in PATH")
	}
	jars, err := libs()
	if err != nil {
		missing(t, "%v", err)
	}
	b := &Broker{t: t, libs: jars, dir: t.TempDir(), jvm: jvm(), secure: secure}
	if _, bench := t.(*testing.B); !bench {
		// A broker of a test lives for seconds, in which the second compiler never pays.
		b.jvm = append(b.jvm, "-XX:TieredStopAtLevel=1")
	}
	t.Cleanup(b.Kill)
	if err := b.begin(); err != nil {
		t.Fatalf("start Apache Kafka: %v", err)
	}
	return b
}

// Launch runs a fresh Apache Kafka in dir for a program that is no test and that ends it with Kill. It is one for work, with
// both of Java's compilers. Of Cluster's methods only Addr is for such a broker, since the others fail a test; Halt, Resume and
// Empty tell of their errors instead.
func Launch(dir string) (*Broker, error) { return LaunchBehind(dir, nil) }

// LaunchBehind is Launch for a broker whose clients come by a detour: front is told where it will listen and says which
// address it is to give them. Addr is that address.
func LaunchBehind(dir string, front func(addr string) string) (*Broker, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return nil, fmt.Errorf("start Apache Kafka: %w", err)
	}
	jars, err := libs()
	if err != nil {
		return nil, fmt.Errorf("start Apache Kafka: %w", err)
	}
	b := &Broker{libs: jars, dir: dir, jvm: jvm(), front: front}
	if err := b.begin(); err != nil {
		return nil, fmt.Errorf("start Apache Kafka: %w", err)
	}
	return b, nil
}

// jvm are the settings that every broker has: small enough for several at once.
func jvm() []string { return []string{"-Xms384m", "-Xmx384m", "-XX:+UseSerialGC"} }

// begin starts the broker for the first time.
func (b *Broker) begin() error {
	for try := 1; ; try++ {
		err := b.fresh()
		if err == nil {
			return nil
		}
		b.Kill()
		// A port that was free may have been taken since.
		if try == startTries || !errors.Is(err, errExited) {
			return err
		}
	}
}

// Addr implements Cluster.
func (b *Broker) Addr() string { return b.named }

// Stop implements Cluster.
func (b *Broker) Stop() {
	b.t.Helper()
	if err := b.Halt(); err != nil {
		b.t.Error(err)
	}
}

// Halt is Stop for a broker of Launch.
func (b *Broker) Halt() (err error) {
	if b.process == nil {
		return nil
	}
	if !b.process.end(syscall.SIGTERM, stopTimeout) {
		err = fmt.Errorf("the broker did not stop within %s", stopTimeout)
		b.process.end(syscall.SIGKILL, stopTimeout)
	}
	b.process = nil
	return err
}

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() {
	if b.process != nil {
		b.process.end(syscall.SIGKILL, stopTimeout)
		b.process = nil
	}
}

// Restart implements Cluster.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	if err := b.Resume(); err != nil {
		b.t.Fatalf("restart Apache Kafka: %v", err)
	}
}

// Resume starts a broker again after Halt or Kill.
func (b *Broker) Resume() error { return b.run() }

// Wipe implements Cluster.
func (b *Broker) Wipe() {
	b.t.Helper()
	if err := b.Empty(); err != nil {
		b.t.Fatalf("wipe Apache Kafka: %v", err)
	}
}

// Empty is Wipe for a broker of Launch.
func (b *Broker) Empty() error {
	b.Kill()
	if err := b.format(); err != nil {
		return err
	}
	return b.run()
}

func (b *Broker) fresh() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	b.addr, b.ctrl = ports[0], ports[1]
	if b.secure != nil {
		b.secure.Addr = ports[2]
	}
	if b.named = b.addr; b.front != nil {
		b.named = b.front(b.addr)
	}
	if err := b.format(); err != nil {
		return err
	}
	return b.run()
}

// freePorts finds n addresses at which nobody listens.
func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		p, err := port.Free()
		if err != nil {
			return nil, err
		}
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", p)
	}
	return addrs, nil
}

func (b *Broker) config() string {
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.bootstrap.servers=" + b.ctrl,
		"listeners=PLAINTEXT://" + b.addr + b.secure.listener() + ",CONTROLLER://" + b.ctrl,
		"advertised.listeners=PLAINTEXT://" + b.named + b.secure.listener(),
		"inter.broker.listener.name=PLAINTEXT",
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
		"log.dirs=" + filepath.Join(b.dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=3",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
	}
	return strings.Join(append(append(lines, b.secure.config()...), ""), "\n")
}

// format makes the storage of a new cluster, in place of any that is there.
func (b *Broker) format() error {
	if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
		return err
	}
	if err := os.WriteFile(b.properties(), []byte(b.config()), 0o600); err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:])
	id[0] &= 0x7f // Kafka refuses an id whose text begins with a dash
	args := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", filepath.Join(b.libs, "*"),
		"kafka.tools.StorageTool", "format", "--standalone", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", b.properties()}
	cmd := exec.Command("java", append(args, b.secure.users()...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format storage: %w\n%s", err, out)
	}
	return nil
}

func (b *Broker) properties() string { return filepath.Join(b.dir, "server.properties") }

func (b *Broker) run() error {
	args := append(append([]string{}, b.jvm...), "-cp", filepath.Join(b.libs, "*"), "kafka.Kafka", b.properties())
	p, err := startProcess(filepath.Join(b.dir, "kafka.log"), "java", args...)
	if err != nil {
		return err
	}
	b.process = p
	return b.ready(p)
}

var errExited = errors.New("the process ended")

// ready waits until the broker is registered and answers for itself.
func (b *Broker) ready(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 400*time.Millisecond) {
		err := answers(ctx, b.addr)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%w\n%s", errExited, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w\n%s", startTimeout, err, p.tail())
		case <-time.After(pause):
		}
	}
}

func answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := kafkago.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	brokers, err := conn.Brokers()
	if err == nil && len(brokers) == 0 {
		err = errors.New("the broker is not registered yet")
	}
	return err
}
