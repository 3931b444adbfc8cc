package notifier

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// oneBatch is a source of a single batch. committed is told of it when it is committed.
type oneBatch struct {
	records   []kafka.Record
	fetched   bool
	committed func()
}

func (s *oneBatch) Fetch(ctx context.Context, _ int) ([]kafka.Record, error) {
	if s.fetched {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.fetched = true
	return s.records, nil
}

func (s *oneBatch) Reading() bool { return true }

func (s *oneBatch) Commit(context.Context, []kafka.Record) error { s.committed(); return nil }

// TestTheOffsetIsCommittedBehindTheMessages: were it before, a process that dies between the two would lose them.
func TestTheOffsetIsCommittedBehindTheMessages(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		id := uuid.Must(uuid.NewV7()).String()
		headers, body, err := event.Encode(event.Event{ID: id, Type: event.Booked, ReservationID: uuid.Must(uuid.NewV7()).String(), Version: 1,
			Recipients: []event.Recipient{event.Resident}, Time: noon})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		there, commits := -1, 0
		source := &oneBatch{records: []kafka.Record{{Topic: event.Topic, Headers: headers, Body: body}}, committed: func() {
			defer cancel()
			commits++
			if err := b.db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return tx.Get(ctx, &there, `SELECT COUNT(*) FROM message WHERE event_id = ?`, id)
			}); err != nil {
				t.Error(err)
			}
		}}
		in := &intake{db: b.db, source: source, metrics: b.sender.metrics, log: b.sender.log, wake: func() {}}
		in.run(ctx)
		if there != 1 || commits != 1 {
			t.Errorf("%d commits, %d messages at the first", commits, there)
		}
	})
}
