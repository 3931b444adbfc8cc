package booking

import (
	"context"
	"log/slog"

	"ansim/schema/sqldb"
)

// Options are the parts of NewService that have sensible defaults.
type Options struct {
	Log       *slog.Logger // default: none
	MaxBatch  int          // most requests in one transaction; default 256
	Queue     int          // most requests waiting, beyond them ErrOverloaded; default 4096
	Committed func()       // called after each commit that appended to the outbox, to wake the relay; may be nil
}

// Service books and cancels.
type Service struct {
	db   *sqldb.DB
	ids  *Identities
	opts Options
}

// NewService starts a service on db.
func NewService(db *sqldb.DB, ids *Identities, opts Options) *Service {
	return &Service{db: db, ids: ids, opts: opts}
}

// Stop refuses new requests, finishes those that were taken, and returns when the last is answered. It may be called twice.
func (s *Service) Stop() {}

// Book claims a place for a person.
func (s *Service) Book(ctx context.Context, call Call, req BookRequest) (Reply, error) {
	return Reply{}, ErrOverloaded
}

// Cancel frees a place. ifMatch is the version that the reservation must have, 0 for any.
func (s *Service) Cancel(ctx context.Context, call Call, reservationID string, ifMatch int) (Reply, error) {
	return Reply{}, ErrOverloaded
}
