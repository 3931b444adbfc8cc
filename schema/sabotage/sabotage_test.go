//go:build sabotage

package sabotage

import "testing"

func TestStatementsAreNamed(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"WITH src AS (SELECT 1) INSERT INTO reservation (id) SELECT id FROM src":          "insert.reservation",
		"WITH moved AS (SELECT 1) UPDATE slot SET taken = 1 FROM moved":                   "update.slot",
		"INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = 1":                "insert.t",
		"WITH s AS (SELECT 1) DELETE FROM message_queue WHERE id IN (SELECT id FROM s)":   "delete.message_queue",
		"SELECT id FROM message WHERE x = 1 ORDER BY id FOR UPDATE SKIP LOCKED":           "",
		"SELECT id FROM slot FOR UPDATE":                                                  "",
		"UPDATE outbox_relay SET position = ?, published = published + ? WHERE shard = ?": "update.outbox_relay",
	} {
		var s Statements
		s.Before(query)
		if s.statement != want {
			t.Errorf("%s: %q, want %q", query, s.statement, want)
		}
	}
}
