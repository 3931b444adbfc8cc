package app

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ansim/outbox/kafka"
	kafkatest "ansim/test/kafka"
)

// A certificate that is renewed in its place is used from the next connection on; half of a renewal is not.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	old, renewed := kafkatest.NewSecure(t), kafkatest.NewSecure(t)
	c, err := KafkaAccess{TLS: "on", CAFile: old.CAFile, CertFile: old.CertFile, KeyFile: old.KeyFile}.Cluster("--kafka", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		pair, err := c.TLS.GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	put := func(from, to string) {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first := shown()
	put(renewed.CertFile, old.CertFile)
	if shown() != first {
		t.Error("a certificate without its key is shown")
	}
	put(renewed.KeyFile, old.KeyFile)
	second := shown()
	if second == first {
		t.Error("the renewed certificate is not shown")
	}
	if err := os.Remove(old.CertFile); err != nil {
		t.Fatal(err)
	}
	if shown() != second {
		t.Error("without a certificate in its place the last one is not shown")
	}
}

func TestKafkaLogins(t *testing.T) {
	t.Parallel()
	for mechanism, want := range map[string]string{"": kafka.ScramSHA512, kafka.ScramSHA512: kafka.ScramSHA512,
		kafka.ScramSHA256: kafka.ScramSHA256, kafka.Plain: kafka.Plain} {
		a := KafkaAccess{TLS: "on", Mechanism: mechanism, User: "ansim", Password: "hidden-password"}
		c, err := a.Cluster("--kafka", "127.0.0.1:1")
		if err != nil || c.Login == nil || c.Login.Name() != want {
			t.Errorf("%q: %v, %v", mechanism, c.Login != nil, err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %s", a, a, a), "hidden") {
			t.Error("the settings tell their password")
		}
	}
	if c, err := (KafkaAccess{}).Cluster("--kafka", "127.0.0.1:1"); err != nil || c.Login != nil || c.TLS != nil {
		t.Errorf("nothing is set: %+v, %v", c, err)
	}
}
