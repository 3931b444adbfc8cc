package app

import (
	"context"

	"ansim/notifier"
	"ansim/schema/sqldb"
)

// Appointments is the notifier's look into booking, for commands that run beside the service; it is a notifier.Directory.
func Appointments(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]notifier.Appointment, error) {
	return appointments(ctx, tx, ids, lock)
}
