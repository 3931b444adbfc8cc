package booking_test

import (
	"bytes"
	"errors"
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
		key, err := booking.CreateKey(t.Context(), db, "clinic")
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^ansim_[0-9a-f]{64}$`).MatchString(key) {
			t.Error("the key's form")
		}
		for _, name := range []string{"clinic", "", " ", "a\x00b"} {
			if _, err := booking.CreateKey(t.Context(), db, name); !errors.Is(err, booking.ErrKeyName) {
				t.Errorf("name %q: %v", name, err)
			}
		}
		keys := booking.NewKeys(db)
		c := &clock{t: noon}
		keys.SetNow(c.now)
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
		c.set(noon.Add(time.Second))
		if _, err := keys.Authenticate(t.Context(), key); !errors.Is(err, booking.ErrUnauthorized) {
			t.Errorf("a second after the key was revoked: %v", err)
		}
		for _, name := range []string{"clinic", "nobody", "00000000-0000-0000-0000-000000000000"} {
			if err := booking.RevokeKey(t.Context(), db, name); !errors.Is(err, booking.ErrNotFound) {
				t.Errorf("revoke %s: %v", name, err)
			}
		}
		list, err := booking.ListKeys(t.Context(), db)
		if err != nil || len(list) != 1 || list[0].RevokedAt.IsZero() || list[0].CreatedAt.IsZero() {
			t.Errorf("list %+v, %v", list, err)
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
