package outbox_test

import (
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
	relay := outbox.NewRelay(db, l, outbox.RelayOptions{Lease: 24 * time.Hour})
	run(t, relay)
	want := appendAll(t, db, 3)
	l.awaitCount(t, 3)
	server.Kill()
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
