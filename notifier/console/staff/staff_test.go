package staff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ansim/notifier/console/trail"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

const password = "correct horse battery"

func each(t *testing.T, fn func(t *testing.T, db *sqldb.DB, c *dbtest.Clock)) {
	t.Helper()
	t.Parallel()
	dbtest.EachAt(t, time.Date(2021, 7, 20, 3, 0, 0, 0, time.UTC), fn)
}

func add(t *testing.T, db *sqldb.DB, name string, role Role) Account {
	t.Helper()
	if err := Add(t.Context(), db, "cli:test", name, role, password); err != nil {
		t.Fatal(err)
	}
	r, err := find(t.Context(), db, `folded = ?`, fold(name))
	if err != nil {
		t.Fatal(err)
	}
	return r.account()
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for i, r := range Roles {
		for j, least := range Roles {
			if r.May(least) != (i >= j) {
				t.Errorf("%s may do what needs %s: %t", r, least, r.May(least))
			}
		}
	}
	if Role("").May(Viewer) || Role("root").May(Viewer) || Role("x").May("x") {
		t.Error("no role may something")
	}
	if _, err := ParseRole("boss"); !errors.Is(err, ErrRole) {
		t.Error(err)
	}
}

func TestAccounts(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		ctx := t.Context()
		kim := add(t, db, "Kim.Minji", Agent)
		for name, want := range map[string]error{"kim.minji": ErrTaken, "": ErrName, "a b": ErrName, "a\x00": ErrName, strings.Repeat("x", 61): ErrName} {
			if err := Add(ctx, db, "cli:test", name, Agent, password); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", name, err, want)
			}
		}
		for _, p := range []string{"", "short", "my-lee-2021-x", strings.Repeat("x", 201)} {
			if err := Add(ctx, db, "cli:test", "lee", Agent, p); !errors.Is(err, ErrPassword) {
				t.Errorf("%q: %v", p, err)
			}
		}
		if err := Add(ctx, db, "cli:test", "lee", "boss", password); !errors.Is(err, ErrRole) {
			t.Error(err)
		}
		since := c.Now()
		for name, change := range map[string]func() error{
			"role":     func() error { return SetRole(ctx, db, "cli:test", "KIM.minji", Supervisor) },
			"password": func() error { return SetPassword(ctx, db, "cli:test", "kim.minji", "another good one") },
			"disable":  func() error { return Disable(ctx, db, "cli:test", "kim.minji") },
		} {
			if _, err := Get(ctx, db, kim.ID, since); err != nil {
				t.Errorf("before %s: %v", name, err)
			}
			c.Add(time.Minute)
			if err := change(); err != nil {
				t.Error(err)
			}
			if _, err := Get(ctx, db, kim.ID, since); !errors.Is(err, ErrNone) {
				t.Errorf("a session outlives %s: %v", name, err)
			}
			since = c.Now()
			if name == "disable" {
				if _, err := Get(ctx, db, kim.ID, c.Now()); !errors.Is(err, ErrNone) {
					t.Errorf("disabled, and has a session: %v", err)
				}
				if err := Enable(ctx, db, "cli:test", "kim.minji"); err != nil {
					t.Error(err)
				}
			}
		}
		if err := Disable(ctx, db, "cli:test", "nobody"); !errors.Is(err, ErrNone) {
			t.Error(err)
		}
		all, err := List(ctx, db)
		if err != nil || len(all) != 1 || all[0].Role != Supervisor || all[0].Name != "Kim.Minji" {
			t.Errorf("%+v, %v", all, err)
		}
		done, err := trail.Read(ctx, db, "", 0, 100)
		if err != nil || len(done) != 5 {
			t.Errorf("%d entries in the trail, %v", len(done), err)
		}
		if strings.Contains(fmt.Sprint(done), password) || strings.Contains(fmt.Sprint(all), "argon2") {
			t.Error("a password or its hash leaves the package")
		}
	})
}

func TestSignIn(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		ctx := t.Context()
		add(t, db, "kim", Agent)
		d, err := NewDoor(db, c.Now)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := d.SignIn(ctx, " KIM ", password, "192.0.2.1"); err != nil || a.Name != "kim" {
			t.Errorf("%+v, %v", a, err)
		}
		for _, wrong := range [][2]string{{"kim", "wrong"}, {"kim", ""}, {"kim", strings.Repeat("x", 5000)}, {"my secret password", password}} {
			if _, err := d.SignIn(ctx, wrong[0], wrong[1], "192.0.2.9"); !errors.Is(err, ErrRefused) {
				t.Errorf("%v", err)
			}
		}
		for range pairFailures {
			_, err = d.SignIn(ctx, "kim", "wrong", "192.0.2.7")
			if !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		}
		var many *TooMany
		if _, err := d.SignIn(ctx, "kim", password, "192.0.2.7"); !errors.As(err, &many) || many.Wait <= 0 {
			t.Errorf("guessing goes on: %v", err)
		}
		if _, err := d.SignIn(ctx, "kim", password, "192.0.2.8"); err != nil {
			t.Errorf("the owner is kept out: %v", err)
		}
		c.Add(pairSpan)
		if _, err := d.SignIn(ctx, "kim", password, "192.0.2.7"); err != nil {
			t.Errorf("kept out for good: %v", err)
		}
		if err := Disable(ctx, db, "cli:test", "kim"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.SignIn(ctx, "kim", password, "192.0.2.8"); !errors.Is(err, ErrRefused) {
			t.Errorf("disabled: %v", err)
		}
		done, err := trail.Read(ctx, db, "", 0, 100)
		if err != nil || strings.Contains(fmt.Sprint(done), "my secret") || strings.Contains(fmt.Sprint(done), password) {
			t.Errorf("what was typed is in the trail: %v, %v", done, err)
		}
		if v, err := trail.Verify(ctx, db); err != nil || v.Bad != 0 || v.Entries < 15 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		ctx := context.Background()
		s := store{db}
		if err := s.Commit("hash", []byte("one"), c.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := s.CommitCtx(ctx, "hash", []byte("two"), c.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		data, found, err := s.Find("hash")
		if err != nil || !found || !bytes.Equal(data, []byte("two")) {
			t.Errorf("%q, %t, %v", data, found, err)
		}
		c.Add(time.Hour)
		if _, found, err := s.Find("hash"); found || err != nil {
			t.Errorf("it has expired: %t, %v", found, err)
		}
		if err := s.Commit("other", []byte("x"), c.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.Peek(ctx, &n, "SELECT COUNT(*) FROM staff_session"); err != nil || n != 1 {
			t.Errorf("%d sessions are kept, %v", n, err)
		}
		if err := s.Delete("other"); err != nil {
			t.Fatal(err)
		}
		if _, found, _ := s.Find("other"); found {
			t.Error("it was ended")
		}
		m := NewSessions(db, true)
		if !m.HashTokenInStore || !m.Cookie.Secure || !m.Cookie.HttpOnly || m.Cookie.Path != "/console" || m.IdleTimeout != idle || m.Lifetime != absolute {
			t.Errorf("%+v", m.Cookie)
		}
	})
}
