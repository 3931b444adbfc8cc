package app

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ansim/notifier"
	"ansim/schema/sabotage"
)

// ErrUsage marks settings that contradict each other: wrong use, exit 2.
var ErrUsage = errors.New("wrong use")

// Role is a part of the service that a process can take.
type Role string

// The roles of serve.
const (
	API      Role = "api"      // HTTP API, provider callbacks, pages
	Relay    Role = "relay"    // outbox → Kafka
	Notifier Role = "notifier" // Kafka → texts, look-ups, sweeper
)

// Roles are all roles.
var Roles = []Role{API, Relay, Notifier}

// Embedded as Config.Kafka starts the embedded broker.
const Embedded = "embedded"

// Twilio is the provider's part of the settings.
type Twilio struct {
	AccountSID, AuthToken, AuthTokenPrevious, From, BaseURL string
}

// Config is what a process needs to know. Its fields are the settings of the README's table.
type Config struct {
	DatabaseURL string
	Kafka       string // host:port,… or Embedded
	KafkaAccess KafkaAccess
	Data        string // folder of the embedded database and broker
	Addr        string
	PublicURL   string // "" means the listener's address
	Secret      string // 32 bytes, hex
	Migrate     bool
	Roles       []Role
	Reconcile   []time.Duration
	Segments    float64 // a second, of all processes together; 0 for no limit
	Twilio      Twilio
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	Profile        string // where profiles can be fetched, a loopback address; "" for nowhere
	// Keep is how long events are kept, and texts after the appointment; 0 keeps them for ever. See CheckKeep.
	Keep  time.Duration
	Links []Link // more for the start page
	// DemoStaff is the account of the console that signs in by one click: for the demonstration alone.
	DemoStaff string
}

// ParseNetworks reads networks (10.0.0.0/8) and single addresses. Errors wrap ErrUsage.
func ParseNetworks(list []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, s := range list {
		n, err := netip.ParsePrefix(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil || addr.Zone() != "" {
				return nil, fmt.Errorf("%w: ANSIM_TRUSTED_PROXIES takes addresses and networks as 10.0.0.0/8,192.0.2.7", ErrUsage)
			}
			n = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, n.Masked())
	}
	return networks, nil
}

// Link is an entry of the start page.
type Link struct{ URL, Title, What string }

// policy is how the notifier sends.
func (c Config) policy() notifier.Policy {
	p := notifier.Policy{Looks: c.Reconcile, SegmentsPerSecond: c.Segments}
	if sabotage.NoSweeper() {
		p.SweepEvery = -1
	}
	return p
}

// has says whether the process takes role r.
func (c Config) has(r Role) bool { return slices.Contains(c.Roles, r) }

// Database is the database's URL, by default a file in the data folder.
func (c Config) Database() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL
	}
	return "sqlite:" + filepath.Join(c.Data, "ansim.db")
}

// embedded says whether a part of the installation lives in this process alone.
func (c Config) embedded() bool { return c.Kafka == Embedded || c.onSQLite() }

func (c Config) onSQLite() bool { return strings.HasPrefix(c.Database(), "sqlite:") }

// check finds what is missing or contradictory. Errors that wrap ErrUsage are wrong use; the others are missing settings.
func (c Config) check() error {
	for _, r := range c.Roles {
		if !slices.Contains(Roles, r) {
			return fmt.Errorf("%w: there is no role %q; roles are api, relay, notifier", ErrUsage, r)
		}
	}
	switch {
	case len(c.Roles) == 0:
		return fmt.Errorf("%w: name at least one role: api, relay, notifier", ErrUsage)
	case c.Kafka == Embedded && strings.HasPrefix(c.Database(), "postgres"): // what is neither, the database's opener refuses
		return fmt.Errorf("%w: with a PostgreSQL database name the brokers: ANSIM_KAFKA_BROKERS=host:port,… "+
			"(the embedded broker is for one process alone)", ErrUsage)
	case c.embedded() && !(c.has(API) && c.has(Relay) && c.has(Notifier)):
		return fmt.Errorf("%w: SQLite and the embedded broker are for one process with all roles; "+
			"for several processes set ANSIM_DATABASE_URL=postgres://… and ANSIM_KAFKA_BROKERS", ErrUsage)
	}
	if c.Kafka != Embedded {
		if _, err := c.KafkaAccess.Cluster(kafkaBrokers, c.Kafka); err != nil {
			return err
		}
	} else if c.KafkaAccess != (KafkaAccess{}) {
		return fmt.Errorf("%w: the settings ANSIM_KAFKA_… are for brokers of your own, which ANSIM_KAFKA_BROKERS names", ErrUsage)
	}
	if err := CheckKeep(c.Keep); err != nil {
		return err
	}
	if err := checkProfile(c.Profile); err != nil {
		return err
	}
	if _, err := c.secret(); err != nil {
		return err
	}
	if c.has(API) || c.has(Notifier) {
		for _, s := range []struct{ name, value string }{
			{"TWILIO_ACCOUNT_SID", c.Twilio.AccountSID}, {"TWILIO_AUTH_TOKEN", c.Twilio.AuthToken}, {"ANSIM_TWILIO_FROM", c.Twilio.From},
		} {
			if s.value == "" {
				return fmt.Errorf("%s is not set; it is on the provider's console, or, for `ansim sandbox`, in what that prints "+
					"at its start", s.name)
			}
		}
	}
	if c.Segments < 0 {
		return errors.New("ANSIM_SEGMENTS_PER_SECOND must be 0, for no limit, or what the sender may send a second")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
			return errors.New("ANSIM_PUBLIC_URL must be like https://ansim.example, without a query")
		}
	}
	return nil
}

// secret decodes ANSIM_SECRET.
func (c Config) secret() ([]byte, error) {
	const how = "make one with `openssl rand -hex 32` and keep it: the same installation always needs the same"
	if c.Secret == "" {
		return nil, errors.New("ANSIM_SECRET is not set; " + how)
	}
	b, err := hex.DecodeString(c.Secret)
	if err != nil || len(b) != 32 {
		return nil, errors.New("ANSIM_SECRET must be 32 bytes in hex, 64 digits; " + how)
	}
	return b, nil
}
