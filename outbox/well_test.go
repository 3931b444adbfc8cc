package outbox_test

import (
	"log/slog"
	"sync/atomic"
	"testing"

	"ansim/outbox"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// signal returns a func that never blocks, and what it sends to.
func signal() (func(), chan struct{}) {
	c := make(chan struct{}, 1)
	return func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

// TestARelayTellsThatItIsWell: while it leads and there is nothing to publish, and while it stands by; not without a
// database.
func TestARelayTellsThatItIsWell(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		leads, heard := signal()
		var looks atomic.Int64
		stop := run(t, outbox.NewRelay(db, newLog(), outbox.RelayOptions{Well: func() { looks.Add(1); leads() }}))
		<-heard
		<-heard // twice with nothing to do
		stands, heardToo := signal()
		stopToo := run(t, outbox.NewRelay(db, newLog(), outbox.RelayOptions{Well: stands}))
		<-heardToo
		<-heardToo
		stop()
		stopToo()
		before := looks.Load()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		tried, failed := signal()
		r := outbox.NewRelay(db, newLog(), outbox.RelayOptions{Well: func() { looks.Add(1) }, Log: slog.New(slog.NewTextHandler(onWrite(tried), nil))})
		run(t, r)
		<-failed
		<-failed
		if looks.Load() != before {
			t.Error("it is well without a database")
		}
	})
}
