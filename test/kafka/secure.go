package kafkatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"ansim/schema/event"
)

// Secure is a broker that speaks to those alone who trust its certificate, show one of the same authority, and log in.
type Secure struct {
	Addr string // host:port
	// PEM files: of the authority, and a client's own.
	CAFile, CertFile, KeyFile string
	User, Password            string
	brokerFile                string // the broker's own key and certificate
}

// TLS is how a client that may come reaches it.
func (s *Secure) TLS(t testing.TB) *tls.Config {
	t.Helper()
	own, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: s.authority(t), Certificates: []tls.Certificate{own}}
}

func (s *Secure) authority(t testing.TB) *x509.CertPool {
	t.Helper()
	content, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(content)
	return pool
}

// The ways to log in that a Secure takes: plain, and those of scram.
const plain = "PLAIN"

var scram = []string{"SCRAM-SHA-512", "SCRAM-SHA-256"}

// EachSecure runs fn as the subtests "embedded" and "apache", each with a fresh broker.
func EachSecure(t *testing.T, fn func(t *testing.T, s *Secure)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		fn(t, startFake(t))
	})
	t.Run("apache", func(t *testing.T) {
		t.Parallel()
		fn(t, StartSecure(t))
	})
}

// StartSecure is Start for a broker that has such an address beside its open one, and grants who logs in there no more than the
// README asks for.
func StartSecure(t testing.TB) *Secure {
	t.Helper()
	s := NewSecure(t)
	b := start(t, s)
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(b.Addr()), Timeout: startTimeout, Transport: transport}
	var rights []kafkago.ACLEntry
	for _, r := range []struct {
		kind kafkago.ResourceType
		name string
		may  kafkago.ACLOperationType
	}{
		{kafkago.ResourceTypeTopic, event.Topic, kafkago.ACLOperationTypeCreate},
		{kafkago.ResourceTypeTopic, event.Topic, kafkago.ACLOperationTypeRead},
		{kafkago.ResourceTypeTopic, event.Topic, kafkago.ACLOperationTypeWrite},
		{kafkago.ResourceTypeGroup, "ansim-notifier", kafkago.ACLOperationTypeRead},
	} {
		rights = append(rights, kafkago.ACLEntry{ResourceType: r.kind, ResourceName: r.name, ResourcePatternType: kafkago.PatternTypeLiteral,
			Principal: "User:" + s.User, Host: "*", Operation: r.may, PermissionType: kafkago.ACLPermissionTypeAllow})
	}
	res, err := client.CreateACLs(t.Context(), &kafkago.CreateACLsRequest{ACLs: rights})
	if err == nil {
		err = errors.Join(res.Errors...)
	}
	if err != nil {
		t.Fatalf("grant rights: %v", err)
	}
	// They are granted once the controller has them, and count once the broker has heard of them.
	for look := time.NewTicker(20 * time.Millisecond); ; {
		res, err := client.DescribeACLs(t.Context(), &kafkago.DescribeACLsRequest{Filter: kafkago.ACLFilter{PrincipalFilter: "User:" + s.User,
			ResourceTypeFilter: kafkago.ResourceTypeAny, ResourcePatternTypeFilter: kafkago.PatternTypeAny,
			Operation: kafkago.ACLOperationTypeAny, PermissionType: kafkago.ACLPermissionTypeAny}})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			t.Fatalf("look at the rights: %v", err)
		}
		known := 0
		for _, r := range res.Resources {
			known += len(r.ACLs)
		}
		if known == len(rights) {
			look.Stop()
			return s
		}
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("the rights do not count")
		}
	}
}

// Environ is what a service needs in its environment to come.
func (s *Secure) Environ() []string {
	return []string{"ANSIM_KAFKA_BROKERS=" + s.Addr, "ANSIM_KAFKA_TLS=on", "ANSIM_KAFKA_CA_FILE=" + s.CAFile, "ANSIM_KAFKA_CERT_FILE=" + s.CertFile,
		"ANSIM_KAFKA_KEY_FILE=" + s.KeyFile, "ANSIM_KAFKA_USER=" + s.User, "ANSIM_KAFKA_PASSWORD=" + s.Password}
}

// startFake starts what the embedded broker is made of; that one itself takes nobody but its own process, and is open.
func startFake(t *testing.T) *Secure {
	t.Helper()
	s := NewSecure(t)
	own, err := tls.LoadX509KeyPair(s.brokerFile, s.brokerFile)
	if err != nil {
		t.Fatal(err)
	}
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: s.authority(t), ClientAuth: tls.RequireAndVerifyClientCert})}
	for _, m := range append(scram, plain) {
		options = append(options, kfake.Superuser(m, s.User, s.Password))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s.Addr = cluster.ListenAddrs()[0]
	return s
}

// NewSecure makes the certificates and a password, without a broker.
func NewSecure(t testing.TB) *Secure {
	t.Helper()
	dir := t.TempDir()
	s := &Secure{User: "ansim", Password: rand.Text(), CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "client.pem"),
		KeyFile: filepath.Join(dir, "client.key"), brokerFile: filepath.Join(dir, "broker.pem")}
	ca := newCertificate(t, "authority of a test", nil)
	client, broker := newCertificate(t, "client", ca), newCertificate(t, "broker", ca)
	for file, content := range map[string][]byte{s.CAFile: ca.cert, s.CertFile: client.cert, s.KeyFile: client.key,
		s.brokerFile: append(bytes.Clone(broker.key), broker.cert...)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// certificate is one in PEM and ready for use.
type certificate struct {
	cert, key []byte
	parsed    *x509.Certificate
	private   *ecdsa.PrivateKey
}

// newCertificate is one for this machine that by has signed, or an authority that signs itself.
func newCertificate(t testing.TB, name string, by *certificate) *certificate {
	t.Helper()
	c, err := func() (*certificate, error) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		parent, signer := template, private
		if by == nil {
			template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		} else {
			parent, signer = by.parsed, by.private
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		key, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return nil, err
		}
		return &certificate{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), parsed, private}, nil
	}()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listener is what a broker's list of listeners has more for s, which may be nil.
func (s *Secure) listener() string {
	if s == nil {
		return ""
	}
	return ",SECURE://" + s.Addr
}

// config is what a broker's settings have more for s.
func (s *Secure) config() []string {
	if s == nil {
		return nil
	}
	lines := []string{
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + s.brokerFile,
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + s.CAFile,
		"ssl.client.auth=required",
		"sasl.enabled.mechanisms=" + strings.Join(append(scram, plain), ","),
		fmt.Sprintf("plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=\"%s\";", s.User, s.Password),
	}
	for _, m := range scram {
		lines = append(lines, strings.ToLower(m)+".sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;")
	}
	for i := range lines {
		lines[i] = "listener.name.secure." + lines[i]
	}
	// Who comes by the open address, the broker itself included, may everything.
	return append(lines, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS")
}

// users are what the tool that makes a broker's storage is told more for s.
func (s *Secure) users() (args []string) {
	if s == nil {
		return nil
	}
	for _, m := range scram {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, s.User, s.Password))
	}
	return args
}
