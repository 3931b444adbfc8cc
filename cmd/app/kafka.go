package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"ansim/outbox/kafka"
)

// KafkaAccess is how the brokers of Kafka are reached, beside where they are. Its fields are the settings of the README's table.
// The zero value is in the clear, as nobody.
type KafkaAccess struct {
	TLS               string // on; "" or off for in the clear
	CAFile            string // PEM; "" for the authorities that the system trusts
	CertFile, KeyFile string // PEM, our own; "" for none
	Mechanism         string // of SASL; "" for SCRAM-SHA-512
	User, Password    string // "" for nobody
}

// The names of these settings in the environment. But for the brokers they have no flags.
const (
	kafkaBrokers   = "ANSIM_KAFKA_BROKERS"
	kafkaTLS       = "ANSIM_KAFKA_TLS"
	kafkaCA        = "ANSIM_KAFKA_CA_FILE"
	kafkaCert      = "ANSIM_KAFKA_CERT_FILE"
	kafkaKey       = "ANSIM_KAFKA_KEY_FILE"
	kafkaMechanism = "ANSIM_KAFKA_MECHANISM"
	kafkaUser      = "ANSIM_KAFKA_USER"
	kafkaPassword  = "ANSIM_KAFKA_PASSWORD"
)

// EnvKafkaAccess reads the environment.
func EnvKafkaAccess() KafkaAccess {
	a := KafkaAccess{TLS: os.Getenv(kafkaTLS), CAFile: os.Getenv(kafkaCA), CertFile: os.Getenv(kafkaCert), KeyFile: os.Getenv(kafkaKey),
		Mechanism: os.Getenv(kafkaMechanism), User: os.Getenv(kafkaUser), Password: os.Getenv(kafkaPassword)}
	if a.TLS == "off" {
		a.TLS = ""
	}
	return a
}

// String does not tell the password.
func (a KafkaAccess) String() string {
	return fmt.Sprintf("%s=%s %s=%s %s=%s", kafkaTLS, a.TLS, kafkaMechanism, a.Mechanism, kafkaUser, a.User)
}

// Environ is what EnvKafkaAccess reads as a.
func (a KafkaAccess) Environ() []string {
	return []string{kafkaTLS + "=" + a.TLS, kafkaCA + "=" + a.CAFile, kafkaCert + "=" + a.CertFile, kafkaKey + "=" + a.KeyFile,
		kafkaMechanism + "=" + a.Mechanism, kafkaUser + "=" + a.User, kafkaPassword + "=" + a.Password}
}

// Cluster is the cluster of brokers, host:port,…, that is reached so; name is how the brokers were given. Errors wrap ErrUsage,
// or are of files that cannot be read.
func (a KafkaAccess) Cluster(name, brokers string) (kafka.Cluster, error) {
	list, err := kafka.ParseBrokers(brokers)
	if err != nil {
		return kafka.Cluster{}, fmt.Errorf("%w: %s: %w", ErrUsage, name, err)
	}
	c := kafka.At(list...)
	if c.TLS, err = a.tls(); err != nil {
		return kafka.Cluster{}, err
	}
	switch {
	case (a.User == "") != (a.Password == ""):
		return kafka.Cluster{}, fmt.Errorf("%w: %s and %s go together", ErrUsage, kafkaUser, kafkaPassword)
	case a.User == "" && a.Mechanism != "":
		return kafka.Cluster{}, fmt.Errorf("%w: %s says how %s logs in, who is not named", ErrUsage, kafkaMechanism, kafkaUser)
	case a.User == "":
		return c, nil
	case a.Mechanism == kafka.Plain && c.TLS == nil:
		return kafka.Cluster{}, fmt.Errorf("%w: with %s=%s the password would travel in the clear: set %s=on, or use %s", ErrUsage,
			kafkaMechanism, kafka.Plain, kafkaTLS, kafka.ScramSHA512)
	case a.Mechanism == "":
		a.Mechanism = kafka.ScramSHA512
	}
	c.Login, err = kafka.NewLogin(a.Mechanism, a.User, a.Password)
	switch {
	case errors.Is(err, kafka.ErrMechanism):
		return kafka.Cluster{}, fmt.Errorf("%w: %s: %w", ErrUsage, kafkaMechanism, err)
	case err != nil:
		return kafka.Cluster{}, fmt.Errorf("%w: %s, %s: %w", ErrUsage, kafkaUser, kafkaPassword, err)
	}
	return c, nil
}

// tls is how connections are encrypted, nil when they are not.
func (a KafkaAccess) tls() (*tls.Config, error) {
	switch a.TLS {
	case "", "off":
		if a.CAFile+a.CertFile+a.KeyFile != "" {
			return nil, fmt.Errorf("%w: %s, %s and %s are of use with %s=on", ErrUsage, kafkaCA, kafkaCert, kafkaKey, kafkaTLS)
		}
		return nil, nil
	case "on":
	default:
		return nil, fmt.Errorf("%w: %s must be on or off", ErrUsage, kafkaTLS)
	}
	// Some connections are short; with the cache they need no whole handshake.
	config := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kafkaCA, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM", kafkaCA, a.CAFile)
		}
	}
	if (a.CertFile == "") != (a.KeyFile == "") {
		return nil, fmt.Errorf("%w: %s and %s go together", ErrUsage, kafkaCert, kafkaKey)
	}
	if a.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", kafkaCert, kafkaKey, err)
		}
		var last atomic.Pointer[tls.Certificate]
		last.Store(&pair)
		// Read for each connection, so that a certificate that is renewed in its place needs no restart. Between the renewal of the
		// one file and the other the last pair is good still.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile); err == nil {
				last.Store(&pair)
			}
			return last.Load(), nil
		}
	}
	return config, nil
}
