package kafka_test

import (
	"errors"
	"strings"
	"testing"

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
			"a wrong password":            login(kafka.ScramSHA512, wrong),
			"a wrong password, PLAIN":     login(kafka.Plain, wrong),
			"in the clear":                with(func(c *kafka.Cluster) { c.TLS = nil }),
			"nobody":                      with(func(c *kafka.Cluster) { c.Login = nil }),
			"without a certificate":       with(func(c *kafka.Cluster) { c.TLS.Certificates = nil }),
			"a broker of other authority": with(func(c *kafka.Cluster) { c.TLS.RootCAs = nil }),
			"another host's broker":       with(func(c *kafka.Cluster) { c.TLS.ServerName = "kafka.example" }),
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
