package audit

import (
	"testing"
	"time"

	"ansim/schema/sqldb"
)

// keep says that everything from at on is there.
func (w world) keep(at sqldb.Time) {
	w.t.Helper()
	for _, table := range []string{"outbox_retention", "message_retention"} {
		w.exec(`INSERT INTO `+table+` (id, deleted_before) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET deleted_before = excluded.deleted_before`, at)
	}
}

// What was deleted for its age is not missed, in the tables, in the figures and in the network's log; without the record that it
// was, and where the record does not reach, it is lost.
func TestRetention(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, w world) {
		w.exec(`INSERT INTO resend (event_id, reservation_id, version, number, recipients, reason, requested_by, while_unknown, created_at)
			VALUES (?, ?, 1, 1, 'resident', 'lost', 'cli', 0, ?)`, event(301), reservation(1), ago(time.Hour))
		log := w.logOf(3)
		w.exec(`UPDATE slot SET starts_at = ?`, ago(40*time.Minute))
		w.forget(1)
		w.forget(2)
		w.exec(`DELETE FROM outbox WHERE reservation_id <> ?`, reservation(3))
		for name, c := range map[string]struct {
			kept sqldb.Time
			lost int64
		}{
			"nothing was deleted": {sqldb.At(epoch), 2},
			"less was deleted":    {ago(45 * time.Minute), 2},
			"deleted":             {ago(35 * time.Minute), 0},
		} {
			w.keep(c.kept)
			r := audit(t, w.db, withLog(log))
			if r.Failed(true) != (c.lost > 0) || r.Figures.Lost != c.lost {
				t.Errorf("%s: %d lost, want %d: %s", name, r.Figures.Lost, c.lost, shown(r))
			}
			if c.lost == 0 {
				continue
			}
			for id, finding := range map[string]string{"I1": "reservation with a change that the outbox never had", "I13": "last state that nobody is told"} {
				if !found(r, id, finding, reservation(2)) {
					t.Errorf("%s: %s does not say %q: %s", name, id, finding, shown(r))
				}
			}
			if !found(r, "I1", "request to send again that became nothing", event(301)) {
				t.Errorf("%s: the resend is not missed: %s", name, shown(r))
			}
		}
		// An event of what is kept is missed as ever.
		w.exec(`UPDATE message SET event_at = ?`, ago(30*time.Minute))
		w.exec(`DELETE FROM outbox`)
		if r := audit(t, w.db, withLog(log)); !found(r, "I4", "message without an event", message(3)) {
			t.Errorf("a message without its event is not found: %s", shown(r))
		}
	})
}
