package outbox_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// When the database crashes and comes back, the relay goes on by itself, and does not wait for its own old lease.
func TestRelayOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	db := server.Open(t, sqldb.Options{})
	l := newLog()
	stumbles := make(errorsOnly, 1)
	relay := outbox.NewRelay(db, l, outbox.RelayOptions{Lease: 24 * time.Hour, Log: slog.New(stumbles)})
	run(t, relay)
	want := appendAll(t, db, 3)
	l.awaitCount(t, 3)
	server.Kill()
	<-stumbles // else a quick restart may pass unnoticed, without a new term
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	want = append(want, appendAll(t, db, 3)...)
	// What was published just before the crash may come again, since its position was perhaps not stored.
	got := l.await(t, "the events of after the crash", func(es []event.Event) bool { return len(es) > 0 && es[len(es)-1].ID == want[5].ID })
	same(t, got[len(got)-3:], want[3:])
	if epoch, _ := position(t, db); epoch < 2 {
		t.Errorf("the epoch is %d, want a new term after the crash", epoch)
	}
}

// errorsOnly is a log that tells when there was an error.
type errorsOnly chan struct{}

func (errorsOnly) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (e errorsOnly) WithAttrs([]slog.Attr) slog.Handler         { return e }
func (e errorsOnly) WithGroup(string) slog.Handler              { return e }
func (e errorsOnly) Handle(context.Context, slog.Record) error {
	select {
	case e <- struct{}{}:
	default:
	}
	return nil
}
