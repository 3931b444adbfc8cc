package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"ansim/outbox"
	"ansim/outbox/kafka"
	kafkatest "ansim/test/kafka"
)

// Everything of the package reaches brokers that want TLS, a certificate and a password, whichever way of logging in is used.
func TestSecuredBrokers(t *testing.T) {
	t.Parallel()
	kafkatest.EachSecure(t, func(t *testing.T, s *kafkatest.Secure) {
		c := kafka.At(s.Addr)
		c.TLS = s.TLS(t)
		lags := func() (read, lag int64) {
			t.Helper()
			var partitions map[int]kafka.Offsets
			eventually(t, func(ctx context.Context) (err error) { // nobody coordinates the group until somebody has asked who does
				partitions, err = kafka.ReadOffsets(ctx, c, "")
				return err
			})
			for _, o := range partitions {
				read, lag = read+o.Next, lag+o.Lag()
			}
			return read, lag
		}
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
			before, lag := lags() // a publish that was repeated leaves more than 20
			if lag < more {
				t.Fatalf("%s: %d events are there, want %d", mechanism, lag, more)
			}

			reader, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: c, Log: logger(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { reader.Close() })
			for got := 0; int64(got) < lag; {
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
			if read, left := lags(); left != 0 || read != before+lag {
				t.Errorf("%s: the offsets of %d events are committed, want %d; %d are left", mechanism, read, before+lag, left)
			}
		}
	})
}

// Who lacks one of the things that a broker wants is told which, without the password in what is said.
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
		if _, err := kafka.ClusterID(within(t, patience), login(kafka.ScramSHA512, s.Password)); err != nil {
			t.Fatalf("who lacks nothing: %v", err)
		}
		const wrong = "not the password"
		for what, c := range map[string]struct {
			kafka.Cluster
			says string // one of these
		}{
			"a wrong password":                         {login(kafka.ScramSHA512, wrong), "Authentication Failed|hung up in the middle"},
			"a wrong password, PLAIN":                  {login(kafka.Plain, wrong), "Authentication Failed|hung up in the middle"},
			"a broker that does not know the password": {with(func(c *kafka.Cluster) { c.Login = doubting{c.Login} }), "the signature is not the broker's"},
			"in the clear":                             {with(func(c *kafka.Cluster) { c.TLS = nil }), "does it want TLS|does the broker want TLS"},
			"nobody":                                   {with(func(c *kafka.Cluster) { c.Login = nil }), "or a login"},
			"without a certificate":                    {with(func(c *kafka.Cluster) { c.TLS.Certificates = nil }), "certificate required|bad certificate"},
			"a broker of other authority":              {with(func(c *kafka.Cluster) { c.TLS.RootCAs = nil }), "unknown authority"},
			"another host's broker":                    {with(func(c *kafka.Cluster) { c.TLS.ServerName = "kafka.example" }), "kafka.example"},
		} {
			_, err := kafka.ClusterID(within(t, patience), c.Cluster)
			if err == nil || !regexp.MustCompile(c.says).MatchString(err.Error()) {
				t.Errorf("%s: %v", what, err)
			}
			p, failed := kafka.NewPublisher(c.Cluster)
			if failed != nil {
				t.Fatal(failed)
			}
			t.Cleanup(func() { p.Close() })
			published := p.Publish(within(t, patience), story(1, 1))
			if !errors.Is(published, outbox.ErrNotPublished) {
				t.Errorf("%s: an event was published: %v", what, published)
			}
			for _, secret := range []string{wrong, s.Password} {
				if strings.Contains(fmt.Sprint(err, published), secret) {
					t.Errorf("%s: what is said holds the password", what)
				}
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

// A connection that stands still before the login is done is given up, and another is tried.
func TestLoginsThatStandStill(t *testing.T) {
	t.Parallel()
	kafkatest.EachSecure(t, func(t *testing.T, s *kafkatest.Secure) {
		login, err := kafka.NewLogin(kafka.ScramSHA512, s.User, s.Password)
		if err != nil {
			t.Fatal(err)
		}
		at := func(brokers ...string) kafka.Cluster {
			return kafka.Cluster{Brokers: brokers, TLS: s.TLS(t), Login: login}
		}
		newPublisher := func(c kafka.Cluster) *kafka.Publisher {
			p, err := kafka.NewPublisher(c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			return p
		}
		if err := kafka.EnsureTopics(within(t, patience), at(s.Addr), kafka.TopicOptions{}); err != nil {
			t.Fatal(err)
		}
		publish(t, newPublisher(at(s.Addr)), story(1, 1))

		// The only broker's.
		publish(t, newPublisher(at(detour(t, s.Addr, func(n int) bool { return n == 1 }))), story(1, 1))

		// Always the first broker's, where there is no time to wait for the end of that.
		stalled := detour(t, s.Addr, func(int) bool { return true })
		for patient := within(t, patience); ; {
			ctx, cancel := context.WithTimeout(patient, 3*time.Second)
			_, err := kafka.ClusterID(ctx, at(stalled, s.Addr))
			cancel()
			if err == nil {
				break
			}
			if patient.Err() != nil {
				t.Fatalf("the second broker is never asked: %v", err)
			}
		}

		// The group's, which comes after the look at the topic.
		reader, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: at(detour(t, s.Addr, func(n int) bool { return n == 2 })), Log: logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { reader.Close() })
		if _, err := reader.Fetch(within(t, patience), 1); err != nil {
			t.Errorf("read: %v", err)
		}

		// One that ends meanwhile does not wait for it for long.
		brief, err := kafka.NewConsumer(kafka.ConsumerOptions{Cluster: at(stalled), Log: logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			brief.Close()
		}()
		select {
		case <-closed:
		case <-within(t, patience).Done():
			t.Error("the consumer does not close")
		}
	})
}

// detour leads to addr; connections for which stalls says so, by their number from 1, are taken and get no answer.
func detour(t *testing.T, addr string, stalls func(n int) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(func() { end(); l.Close(); all.Wait() })
	all.Go(func() {
		for n := 1; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { in.Close() })
			if stalls(n) {
				continue
			}
			all.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				all.Go(func() {
					defer out.Close()
					_, _ = io.Copy(out, in)
				})
				_, _ = io.Copy(in, out)
			})
		}
	})
	return l.Addr().String()
}

func TestNewLogin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mechanism, user, password string }{
		{"", "ansim", "secret"}, {"scram-sha-512", "ansim", "secret"}, {"GSSAPI", "ansim", "secret"},
		{kafka.ScramSHA512, "ansim", "sec\x00ret"}, {kafka.ScramSHA256, "an\x01sim", "secret"},
	} {
		_, err := kafka.NewLogin(c.mechanism, c.user, c.password)
		want := kafka.ErrMechanism
		if strings.HasPrefix(c.mechanism, "SCRAM") {
			want = kafka.ErrUser
		}
		if !errors.Is(err, want) || strings.Contains(err.Error(), "ret") || strings.Contains(err.Error(), "sim") {
			t.Errorf("%q: %v", c.mechanism, err)
		}
	}
}
