package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
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
	"github.com/twmb/franz-go/pkg/kmsg"
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

// Errors of NewLogin: a way to log in that is not known, and a user's name or password that holds characters which none may
// (RFC 4013).
var (
	ErrMechanism = errors.New("there are " + ScramSHA512 + ", " + ScramSHA256 + " and " + Plain)
	ErrUser      = errors.New("the user's name or password holds characters that none may")
)

// NewLogin is a user who logs in with a password. Its error is ErrMechanism or ErrUser.
func NewLogin(mechanism, user, password string) (sasl.Mechanism, error) {
	algorithm := scram.SHA512
	switch mechanism {
	case Plain:
		return plain.Mechanism{Username: user, Password: password}, nil
	case ScramSHA256:
		algorithm = scram.SHA256
	case ScramSHA512:
	default:
		return nil, ErrMechanism
	}
	login, err := scram.Mechanism(algorithm, user, password)
	if err != nil {
		return nil, ErrUser // what the library says may hold what it could not take
	}
	return login, nil
}

// newTransport is how kafka-go reaches the cluster. It is a transport of its own, since kafka-go's default one is shared by the
// process and keeps what it knows of the cluster for longer. Call CloseIdleConnections when it is used no more. Its DialTimeout
// is for all brokers that it tries.
func (c Cluster) newTransport() *kafkago.Transport {
	return &kafkago.Transport{Dial: c.Dial, DialTimeout: requestTimeout, MetadataTTL: metadataTTL, ClientID: clientID}
}

func (c Cluster) newClient(t *kafkago.Transport) *kafkago.Client {
	return &kafkago.Client{Addr: kafkago.TCP(c.Brokers...), Timeout: requestTimeout, Transport: t}
}

// dialer is newTransport for the part of kafka-go that does not take one. It dials until ctx ends, whatever kafka-go says.
func (c Cluster) dialer(ctx context.Context) *kafkago.Dialer {
	return &kafkago.Dialer{ClientID: clientID, Timeout: requestTimeout, DialFunc: func(asked context.Context, network, address string) (net.Conn, error) {
		asked, cancel := context.WithCancel(asked)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return c.Dial(asked, network, address)
	}}
}

// Dial opens a connection, encrypts it and logs in, where that is asked for, within three seconds. kafka-go could do both, but its
// Transport and its Dialer log in without a limit of time: a broker that stands still in the middle of it would hold them for ever.
func (c Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	open := (&net.Dialer{}).DialContext
	if c.TLS != nil {
		open = (&tls.Dialer{Config: c.TLS}).DialContext
	}
	conn, err := open(ctx, network, address)
	if err != nil || c.Login == nil {
		return conn, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = logIn(ctx, conn, c.Login)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("log in at %s: %w", address, err)
	}
	return conn, nil
}

// logIn is a conversation of SASL (KIP-43, KIP-152).
func logIn(ctx context.Context, conn net.Conn, login sasl.Mechanism) error {
	hello := kmsg.NewPtrSASLHandshakeRequest()
	hello.SetVersion(1)
	hello.Mechanism = login.Name()
	offer := kmsg.NewPtrSASLHandshakeResponse()
	if err := ask(conn, hello, offer); err != nil {
		return err
	}
	if offer.ErrorCode != 0 {
		return fmt.Errorf("%s: %w; the broker takes %s", login.Name(), kafkago.Error(offer.ErrorCode), strings.Join(offer.SupportedMechanisms, ", "))
	}
	state, say, err := login.Start(ctx)
	for done := false; err == nil && !done; {
		req, res := kmsg.NewPtrSASLAuthenticateRequest(), kmsg.NewPtrSASLAuthenticateResponse()
		req.SetVersion(1)
		req.SASLAuthBytes = say
		if err := ask(conn, req, res); errors.Is(err, io.EOF) {
			return fmt.Errorf("the broker hung up in the middle of it: %w", io.EOF)
		} else if err != nil {
			return err
		}
		if code := kafkago.Error(res.ErrorCode); code != 0 && res.ErrorMessage != nil {
			return fmt.Errorf("%w: %s", code, *res.ErrorMessage)
		} else if code != 0 {
			return code
		}
		done, say, err = state.Next(ctx, res.SASLAuthBytes)
	}
	return err // of a broker that cannot prove that it knows the password, for one
}

// exchange sends one request to a broker on a connection of its own and reads the answer.
func (c Cluster) exchange(ctx context.Context, broker string, req kmsg.Request, res kmsg.Response) error {
	conn, err := c.Dial(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	return ask(conn, req, res)
}

// ask sends one request and reads the answer.
func ask(conn net.Conn, req kmsg.Request, res kmsg.Response) error {
	out := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 1)
	if _, err := conn.Write(out); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		if errors.Is(err, io.EOF) { // the broker does not say why
			return fmt.Errorf("the broker hung up; does it want TLS, or a login? %w", err)
		}
		return err
	}
	// 4 bytes of correlation id, and in flexible versions a list of tags: empty, hence one byte.
	header := 4
	if req.IsFlexible() {
		header++
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n < header || n > 1<<20 {
		return fmt.Errorf("the answer is none of Kafka's; does the broker want TLS? %w", io.ErrUnexpectedEOF)
	}
	in := make([]byte, n)
	if _, err := io.ReadFull(conn, in); err != nil {
		return err
	}
	res.SetVersion(req.GetVersion())
	return res.ReadFrom(in[header:])
}
