package kafka_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"ansim/outbox/kafka"
	kafkatest "ansim/test/kafka"
)

// Everything of the package reaches brokers that want TLS, a certificate and a password, whichever way of logging in is used.
func TestSecuredBrokers(t *testing.T) {
	t.Parallel()
	kafkatest.EachSecure(t, func(t *testing.T, s *kafkatest.Secure) {
		c := kafka.At(s.Addr)
		c.TLS = s.TLS(t)
		events := 0
		for _, mechanism := range []string{kafka.ScramSHA512, kafka.ScramSHA256, kafka.Plain} {
			var err error
			if c.Login, err = kafka.NewLogin(mechanism, s.User, s.Password); err != nil {
				t.Fatal(err)
			}
			if err := kafka.EnsureTopics(within(t, patience), c, kafka.TopicOptions{}); err != nil {
				t.Fatalf("%s: %v", mechanism, err)
			}
			p, err := kafka.NewPublisher(c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			const more = 20
			publish(t, p, story(5, more))
			events += more

			reader, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: c, Log: logger(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { reader.Close() })
			for got := 0; got < more; {
				records, err := reader.Fetch(within(t, patience), 100)
				if err == nil {
					err = reader.Commit(within(t, patience), records)
				}
				if err != nil {
					t.Fatalf("%s: %v", mechanism, err)
				}
				got += len(records)
			}
			reader.Close() // so that the next one need not wait for it
			partitions, err := kafka.ReadOffsets(within(t, patience), c, "")
			if err != nil {
				t.Fatalf("%s: %v", mechanism, err)
			}
			read := int64(0)
			for _, o := range partitions {
				read += o.Next
				if o.Lag() != 0 {
					t.Errorf("%s: %+v", mechanism, o)
				}
			}
			if read != int64(events) {
				t.Errorf("%s: the offsets of %d events are committed, want %d", mechanism, read, events)
			}
		}
	})
}

// Who lacks one of the things that a broker wants is told so at once, without the password in what is said.
func TestSecuredBrokersRefuse(t *testing.T) {
	t.Parallel()
	kafkatest.EachSecure(t, func(t *testing.T, s *kafkatest.Secure) {
		login := func(mechanism, password string) kafka.Cluster {
			c := kafka.At(s.Addr)
			c.TLS = s.TLS(t)
			var err error
			if c.Login, err = kafka.NewLogin(mechanism, s.User, password); err != nil {
				t.Fatal(err)
			}
			return c
		}
		with := func(change func(*kafka.Cluster)) kafka.Cluster {
			c := login(kafka.ScramSHA512, s.Password)
			change(&c)
			return c
		}
		const wrong = "not the password"
		for what, c := range map[string]kafka.Cluster{
			"a wrong password":                         login(kafka.ScramSHA512, wrong),
			"a wrong password, PLAIN":                  login(kafka.Plain, wrong),
			"a broker that does not know the password": with(func(c *kafka.Cluster) { c.Login = doubting{c.Login} }),
			"in the clear":                             with(func(c *kafka.Cluster) { c.TLS = nil }),
			"nobody":                                   with(func(c *kafka.Cluster) { c.Login = nil }),
			"without a certificate":                    with(func(c *kafka.Cluster) { c.TLS.Certificates = nil }),
			"a broker of other authority":              with(func(c *kafka.Cluster) { c.TLS.RootCAs = nil }),
			"another host's broker":                    with(func(c *kafka.Cluster) { c.TLS.ServerName = "kafka.example" }),
		} {
			_, err := kafka.ClusterID(within(t, patience), c)
			if err == nil {
				t.Errorf("%s: the broker answered", what)
			} else if strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), s.Password) {
				t.Errorf("%s: the error holds the password", what)
			}
			t.Logf("%s: %v", what, err)
			p, err := kafka.NewPublisher(c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			if err := p.Publish(within(t, patience), story(1, 1)); err == nil {
				t.Errorf("%s: an event was published", what)
			} else if strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), s.Password) {
				t.Errorf("%s: the publisher's error holds the password", what)
			}
		}
	})
}

// doubting finds in the end that the broker has not proved that it knows the password.
type doubting struct{ sasl.Mechanism }

func (d doubting) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	state, say, err := d.Mechanism.Start(ctx)
	return doubt{state}, say, err
}

type doubt struct{ sasl.StateMachine }

func (d doubt) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	done, say, err := d.StateMachine.Next(ctx, challenge)
	if done && err == nil {
		err = errors.New("the signature is not the broker's")
	}
	return done, say, err
}

// A broker that stands still while we log in holds nobody for longer than he wants to wait.
func TestLoginAtABrokerThatStandsStill(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts for it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := kafka.At(l.Addr().String())
	if c.Login, err = kafka.NewLogin(kafka.ScramSHA512, "ansim", "secret"); err != nil {
		t.Fatal(err)
	}
	if _, err := kafka.ClusterID(within(t, 50*time.Millisecond), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ask for the cluster: %v", err)
	}
	p, err := kafka.NewPublisher(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Publish(within(t, 50*time.Millisecond), story(1, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publish: %v", err)
	}
	reader, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: c, Log: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	reader.Close() // which waits for what it has begun
}

func TestNewLogin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mechanism, user, password string }{
		{"", "ansim", "secret"}, {"scram-sha-512", "ansim", "secret"}, {"GSSAPI", "ansim", "secret"},
		{kafka.ScramSHA512, "ansim", "sec\x00ret"}, {kafka.ScramSHA256, "an\x01sim", "secret"},
	} {
		_, err := kafka.NewLogin(c.mechanism, c.user, c.password)
		if !errors.Is(err, kafka.ErrLogin) || strings.Contains(err.Error(), "ret") || strings.Contains(err.Error(), "sim ") {
			t.Errorf("%q: %v", c.mechanism, err)
		}
	}
}
