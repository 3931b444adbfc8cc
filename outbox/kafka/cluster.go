package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Cluster says how a Kafka cluster is reached: every connection of this package is made by it.
type Cluster struct {
	// Brokers are some of the cluster's, as host:port. The others are learnt from them.
	Brokers []string
	// TLS is for every connection; nil sends in the clear. Where it names no server, a broker's certificate has to be for the host
	// by which the broker is reached.
	TLS *tls.Config
	// Login says who we are, see NewLogin; nil says nothing.
	Login sasl.Mechanism
}

// At is the cluster of some brokers that are reached in the clear, as nobody.
func At(brokers ...string) Cluster { return Cluster{Brokers: brokers} }

// ErrNoBrokers is returned when a list of brokers is empty or holds something that is not host:port.
var ErrNoBrokers = errors.New("brokers must be host:port, separated by commas")

// ParseBrokers reads "host:port,host:port".
func ParseBrokers(list string) ([]string, error) {
	var brokers []string
	for _, b := range strings.Split(list, ",") {
		b = strings.TrimSpace(b)
		host, port, err := net.SplitHostPort(b)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("%w: %q", ErrNoBrokers, b)
		}
		brokers = append(brokers, b)
	}
	return brokers, nil
}

// SASL's names of the ways to log in. With Plain the broker reads the password, so it is for connections with TLS.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// ErrLogin is returned for a way to log in that is not known, or a name or password that cannot be one (RFC 4013, 7613).
var ErrLogin = errors.New("cannot log in to Kafka like this")

// NewLogin is a user who logs in with a password. Its error wraps ErrLogin.
func NewLogin(mechanism, user, password string) (sasl.Mechanism, error) {
	algorithm := scram.SHA512
	switch mechanism {
	case Plain:
		return plain.Mechanism{Username: user, Password: password}, nil
	case ScramSHA256:
		algorithm = scram.SHA256
	case ScramSHA512:
	default:
		return nil, fmt.Errorf("%w: there are %s, %s and %s", ErrLogin, ScramSHA512, ScramSHA256, Plain)
	}
	login, err := scram.Mechanism(algorithm, user, password)
	if err != nil { // which may hold what it could not take
		return nil, fmt.Errorf("%w: the user's name or password holds characters that none may", ErrLogin)
	}
	return login, nil
}

// NewTransport is how kafka-go reaches the cluster. It is a transport of its own, since kafka-go's default one is shared by the
// process and keeps what it knows of the cluster for longer. Call CloseIdleConnections when it is used no more.
func (c Cluster) NewTransport() *kafkago.Transport {
	return &kafkago.Transport{Dial: c.dial, SASL: c.Login, DialTimeout: dialTimeout, MetadataTTL: metadataTTL, ClientID: clientID}
}

func (c Cluster) newClient(t *kafkago.Transport) *kafkago.Client {
	return &kafkago.Client{Addr: kafkago.TCP(c.Brokers...), Timeout: requestTimeout, Transport: t}
}

// dialer is NewTransport for the parts of kafka-go that do not take one.
func (c Cluster) dialer() *kafkago.Dialer {
	return &kafkago.Dialer{ClientID: clientID, Timeout: dialTimeout, DialFunc: c.dial, SASLMechanism: c.Login}
}

// dial opens every connection, and encrypts it where that is asked for: kafka-go's own ways to do so differ from each other.
func (c Cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if c.TLS != nil {
		return (&tls.Dialer{Config: c.TLS}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// connect opens a connection on which we are logged in, for requests that kafka-go does not know.
func (c Cluster) connect(ctx context.Context, broker string) (net.Conn, error) {
	if c.Login == nil {
		return c.dial(ctx, "tcp", broker)
	}
	var conn net.Conn
	d := c.dialer()
	d.DialFunc = func(ctx context.Context, network, address string) (opened net.Conn, err error) {
		conn, err = c.dial(ctx, network, address)
		return conn, err
	}
	if _, err := d.DialContext(ctx, "tcp", broker); err != nil {
		return nil, hungUp(err)
	}
	return conn, conn.SetDeadline(time.Time{}) // that of the log in
}

// hungUp says what it may mean that a broker hangs up instead of answering, for it does not say so itself.
func hungUp(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the broker hung up; does it want TLS, or a login? %w", err)
	}
	return err
}
