package rush

import (
	"fmt"
	"time"

	"ansim/cmd/app"
	"ansim/schema/sqldb"
)

// Faults is how much is broken on purpose.
type Faults string

// The faults. Each adds to the one before.
const (
	None  Faults = "none"
	Night Faults = "night" // the provider stumbles and loses answers, a process is killed and one added
	Harsh Faults = "harsh" // one process of each role is killed, the provider is away for a while
)

// Language is that of the report; what is said while the night goes on is English.
type Language string

// The languages.
const (
	English Language = "en"
	Korean  Language = "ko"
)

// ErrUsage marks options that cannot be meant.
var ErrUsage = app.ErrUsage

const (
	// lead is how long before the gate people begin to try: 19:58 to 20:00 of that night, made short.
	lead = 4 * time.Second
	// warmUp is from when the crowd is told its orders to when the first of them comes.
	warmUp = 2 * time.Second
	// patience is how long the last text may take after the last click.
	patience = 10 * time.Minute
)

// How many people come unless it is said.
const (
	// SmallNight is when everything is embedded: a laptop's night.
	SmallNight = 5_000
	// FullNight is with a database and Kafka of its own: those who waited on 19 July 2021.
	FullNight = 337_620
)

// Options say which night it is.
type Options struct {
	People      int           // 0: SmallNight, or FullNight with a database of its own
	Over        time.Duration // within which everybody clicks; 0: a second for each 250, 20 s to 2 min
	Seed        uint64        // of the crowd
	DatabaseURL string        // PostgreSQL; empty for SQLite in a folder of its own
	Kafka       string        // brokers; empty for the embedded one
	KafkaAccess app.KafkaAccess
	Faults      Faults
	Language    Language // of the report; English unless told
	Elsewhere   bool     // lets database and brokers be on another machine
	Program     string   // the binary of this program
	// Watch is told how far the night is, once a second.
	Watch func(Progress)
	// Say is told what happens, a line each.
	Say func(string)
}

// Progress is how far the night is.
type Progress struct {
	At                         time.Duration // since the gate opened; negative before
	People                     int
	Clicked, Booked, Refused   int64
	Published, Texted, Arrived int64
	// Events and Texts are how many there will be of each, as far as is known: those that are there, and one for each person who has
	// no answer yet.
	Events, Texts int64
	Over          bool // this is the last one
}

func (o Options) withDefaults() Options {
	if o.People == 0 {
		o.People = SmallNight
		if !o.embedded() {
			o.People = FullNight
		}
	}
	if o.Over == 0 {
		o.Over = min(max(time.Duration(o.People)*time.Second/250, 20*time.Second), 2*time.Minute)
	}
	if o.Faults == "" {
		o.Faults = Night
	}
	if o.Language == "" {
		o.Language = English
	}
	return o
}

// check refuses what cannot be meant, before anything is started.
func (o Options) check() error {
	switch {
	case o.People < 1 || o.People > MaxPeople:
		return fmt.Errorf("%w: --people must be between 1 and %d", ErrUsage, MaxPeople)
	case o.Over < time.Second || o.Over > time.Hour:
		return fmt.Errorf("%w: --over must be between 1s and 1h", ErrUsage)
	case (o.DatabaseURL == "") != (o.Kafka == ""):
		return fmt.Errorf("%w: --database-url and --kafka go together: PostgreSQL and Apache Kafka, or everything embedded", ErrUsage)
	}
	if o.embedded() {
		return nil
	}
	servers, err := sqldb.Servers(o.DatabaseURL)
	if err != nil {
		return fmt.Errorf("%w: --database-url: %w", ErrUsage, err)
	}
	if o.Elsewhere {
		return nil
	}
	hosts := brokerHosts(o.Kafka)
	for _, s := range servers {
		hosts = append(hosts, s.Host)
	}
	for _, h := range hosts {
		if !local(h) {
			return fmt.Errorf("%w: %s is not this machine. A rush is a storm: if it is meant for a database or brokers elsewhere, say --elsewhere", ErrUsage, h)
		}
	}
	return nil
}
