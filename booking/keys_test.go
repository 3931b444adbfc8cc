package booking_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		key, err := booking.CreateKey(t.Context(), db, booking.KeySpec{Name: "clinic"})
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^ansim_[0-9a-f]{64}$`).MatchString(key) {
			t.Error("the key's form")
		}
		for _, name := range []string{"clinic", "", " ", "a\x00b"} {
			if _, err := booking.CreateKey(t.Context(), db, booking.KeySpec{Name: name}); !errors.Is(err, booking.ErrKeyName) {
				t.Errorf("name %q: %v", name, err)
			}
		}
		keys := booking.NewKeys(db, nil)
		c := dbtest.NewClock(noon)
		keys.SetNow(c.Now)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got, err := keys.Authenticate(t.Context(), key)
				if err != nil || got.Name != "clinic" || strings.Join(got.Scopes, " ") != "book read resend" {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		wg.Wait()
		for _, bad := range []string{"", "ansim_", key[:len(key)-1], key + "0", strings.ToUpper(key), "ansim_" + strings.Repeat("0", 64)} {
			if _, err := keys.Authenticate(t.Context(), bad); !errors.Is(err, booking.ErrUnauthorized) {
				t.Errorf("a wrong key: %v", err)
			}
		}
		if err := booking.RevokeKey(t.Context(), db, "clinic"); err != nil {
			t.Fatal(err)
		}
		c.Set(noon.Add(time.Second))
		if _, err := keys.Authenticate(t.Context(), key); !errors.Is(err, booking.ErrUnauthorized) {
			t.Errorf("a second after the key was revoked: %v", err)
		}
		for _, name := range []string{"clinic", "nobody", "00000000-0000-0000-0000-000000000000"} {
			if err := booking.RevokeKey(t.Context(), db, name); !errors.Is(err, booking.ErrNotFound) {
				t.Errorf("revoke %s: %v", name, err)
			}
		}
		list, _, err := booking.ListKeys(t.Context(), db)
		if err != nil || len(list) != 1 || list[0].RevokedAt.IsZero() || list[0].CreatedAt.IsZero() {
			t.Errorf("list %+v, %v", list, err)
		}
	})
}

// A key has its scopes, its rate and its end, and a rotation gives the same client another one.
func TestKeyLife(t *testing.T) {
	t.Parallel()
	dbtest.EachAt(t, noon, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		for what, spec := range map[string]booking.KeySpec{
			"an unknown scope": {Name: "a", Scopes: []string{"book", "everything"}},
			"no rate":          {Name: "a", Rate: -1},
			"ended":            {Name: "a", ExpiresAt: noon},
		} {
			if _, err := booking.CreateKey(t.Context(), db, spec); !errors.Is(err, booking.ErrKeySpec) {
				t.Errorf("%s: %v", what, err)
			}
		}
		end := noon.Add(48 * time.Hour)
		first, err := booking.CreateKey(t.Context(), db, booking.KeySpec{Name: "clinic", Scopes: []string{"read", "read"}, Rate: 3, ExpiresAt: end})
		if err != nil {
			t.Fatal(err)
		}
		keys := booking.NewKeys(db, nil)
		keys.SetNow(c.Now)
		other := booking.NewKeys(db, nil) // another process
		other.SetNow(c.Now)
		defer keys.Stop()
		defer other.Stop()
		client, err := keys.Authenticate(t.Context(), first)
		if err != nil || !client.May("read") || client.May("book") || client.May("admin") {
			t.Errorf("%+v, %v", client, err)
		}
		for range 2 {
			if _, err := keys.Authenticate(t.Context(), first); err != nil {
				t.Errorf("within the rate: %v", err)
			}
		}
		_, err = keys.Authenticate(t.Context(), first)
		if f := refusal(t, err, booking.ErrKeyRate); f.RetryAfter != time.Second {
			t.Errorf("retry after %v", f.RetryAfter)
		}
		if _, err := other.Authenticate(t.Context(), first); err != nil {
			t.Errorf("another process: %v", err)
		}

		c.Set(noon.Add(time.Hour))
		second, until, err := booking.RotateKey(t.Context(), db, "clinic", time.Hour)
		if err != nil || !until.Equal(noon.Add(2*time.Hour)) || second == first {
			t.Fatalf("rotated until %v, %v", until, err)
		}
		for _, key := range []string{first, second} {
			if got, err := keys.Authenticate(t.Context(), key); err != nil || got.KeyID != client.KeyID {
				t.Errorf("during the rotation: %+v, %v", got, err)
			}
		}
		c.Set(until.Add(-time.Millisecond))
		if _, err := keys.Authenticate(t.Context(), first); err != nil {
			t.Errorf("to the end: %v", err)
		}
		c.Set(until) // the cache knows, without asking
		if _, err := keys.Authenticate(t.Context(), first); !errors.Is(err, booking.ErrUnauthorized) {
			t.Errorf("after the overlap: %v", err)
		}
		third, _, err := booking.RotateKey(t.Context(), db, client.KeyID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Authenticate(t.Context(), second); !errors.Is(err, booking.ErrUnauthorized) {
			t.Errorf("rotated without an overlap: %v", err)
		}
		if _, err := other.Authenticate(t.Context(), third); err != nil {
			t.Error(err)
		}
		c.Set(end)
		if _, err := other.Authenticate(t.Context(), third); !errors.Is(err, booking.ErrUnauthorized) {
			t.Errorf("expired: %v", err)
		}
		if _, _, err := booking.RotateKey(t.Context(), db, "clinic", time.Hour); !errors.Is(err, booking.ErrNotFound) {
			t.Errorf("an expired key was rotated: %v", err)
		}
		keys.Stop()
		other.Stop()
		list, now, err := booking.ListKeys(t.Context(), db)
		if err != nil || len(list) != 1 || list[0].State(now) != "expired" || list[0].State(noon.Add(time.Hour)) != "rotating" || list[0].State(until) != "active" || list[0].Rate != 3 ||
			!list[0].ExpiresAt.Equal(end) || list[0].LastUsedAt.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// The last use is written once a minute, and a key at rest is a hash: of none of its parts can the key be told.
func TestKeyAtRest(t *testing.T) {
	t.Parallel()
	dbtest.EachAt(t, noon, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		first, err := booking.CreateKey(t.Context(), db, booking.KeySpec{Name: "clinic", Scopes: []string{"admin"}})
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := booking.RotateKey(t.Context(), db, "clinic", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		used := func() time.Time {
			list, _, err := booking.ListKeys(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			return list[0].LastUsedAt
		}
		for _, at := range []struct{ after, want time.Duration }{{0, 0}, {30 * time.Second, 0}, {time.Minute, time.Minute}} {
			keys := booking.NewKeys(db, nil)
			c.Set(noon.Add(at.after))
			keys.SetNow(c.Now)
			if got, err := keys.Authenticate(t.Context(), second); err != nil || !got.May("book") || !got.May("whatever comes") {
				t.Errorf("%+v, %v", got, err)
			}
			keys.Stop()
			if got := used(); !got.Equal(noon.Add(at.want)) {
				t.Errorf("after %v: last used at %v", at.after, got)
			}
		}
		rows, err := db.Pool().QueryxContext(t.Context(), "SELECT id, name, hash, previous_hash, scopes FROM api_key")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			row, err := rows.SliceScan()
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{first, second} {
				raw, _ := hex.DecodeString(strings.TrimPrefix(key, "ansim_"))
				for _, v := range row {
					if s := fmt.Sprintf("%s", v); strings.Contains(s, key[6:]) || strings.Contains(s, string(raw)) {
						t.Error("a key is stored")
					}
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if _, err := booking.OpenIdentities(t.Context(), db, secret[:31]); !errors.Is(err, booking.ErrSecret) {
			t.Errorf("a short secret: %v", err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := booking.OpenIdentities(t.Context(), db, secret); err != nil {
					t.Errorf("open: %v", err)
				}
			})
		}
		wg.Wait()
		if _, err := booking.OpenIdentities(t.Context(), db, bytes.Repeat([]byte{1}, 32)); !errors.Is(err, booking.ErrOtherSecret) {
			t.Errorf("another secret: %v", err)
		}
	})
}
