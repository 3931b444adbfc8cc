// Package outbox carries committed changes to Kafka.
//
// A stage that changes something calls [Append] inside its own transaction, so the change and its event are committed
// together or not at all. The table is append-only: nothing updates or deletes a row on the way. A [Relay], of which one
// leads at a time, reads what has been committed since its cursor and hands it to a [Publisher].
//
// # The cursor
//
// On SQLite ids are commit order, and the cursor is the last id. On PostgreSQL they are not: a row's id is taken before its
// transaction commits, so `id > last` jumps over rows that commit later. There the cursor is a pg_snapshot: the next batch
// is what is visible now and was not visible then, ordered by id. The statement that reads it also returns the snapshot to
// read from next. Since a business row is locked before its outbox row is inserted, ids rise within one reservation, and
// a batch keeps that order.
//
// # Who leads
//
//	free ──take (epoch+1)──▶ leading ──renew──▶ leading
//	                            │ lease ran out, another took it (epoch+1)
//	                            ▼
//	                          fenced: cursor update WHERE epoch = mine touches 0 rows; stop, try to lead again
//
// Times of the lease are the database's. A relay that was paused past its lease may publish a batch a second time, which the
// intake does not mind, but can never move the cursor of its successor. A leader reads one batch ahead of the one that it
// publishes, and stores the position behind a batch only once that is published.
package outbox

import (
	"context"
	"errors"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// ErrNotPublished is what a Publisher wraps when some of the events may not have reached the log; all of them are to be
// published again.
var ErrNotPublished = errors.New("events not published")

// Publisher puts events into a log. When Publish returns nil, every event is stored by all in-sync replicas, and the events
// of one reservation stand in the order in which they were given. On an error any of them may or may not be stored.
type Publisher interface {
	Publish(ctx context.Context, events []event.Event) error
}

// Append writes events into the outbox within tx, in order. The caller has locked the rows that they are about.
func Append(ctx context.Context, tx *sqldb.Tx, events []event.Event) error {
	return appendRows(ctx, tx, events)
}
