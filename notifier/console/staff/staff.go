// Package staff keeps the accounts of those who answer residents, and their sessions.
//
//	viewer      finds and reads
//	agent       and sends texts again, corrects, cancels, notes
//	supervisor  and redrives what is stuck, and reads the trail
//	admin       and whatever comes
//
// A password is kept as an argon2id hash. Who is disabled, gets another role or another password is signed out at once: a session
// counts only as long as its account has not changed since it began. Every change of an account is in the trail (package trail).
package staff

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"ansim/notifier/console/trail"
	"ansim/schema/sqldb"
)

// Role is what somebody may do. Each may do what those before it may.
type Role string

// The roles, lowest first.
const (
	Viewer     Role = "viewer"
	Agent      Role = "agent"
	Supervisor Role = "supervisor"
	Admin      Role = "admin"
)

// Roles are all roles, lowest first.
var Roles = []Role{Viewer, Agent, Supervisor, Admin}

// May says whether r includes what needs the role least.
func (r Role) May(least Role) bool {
	return slices.Index(Roles, r) >= slices.Index(Roles, least) && slices.Contains(Roles, r)
}

// ParseRole reads a role; the error says which there are.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("%w: must be viewer, agent, supervisor or admin", ErrRole)
}

// What can be wrong with an account.
var (
	ErrRole     = errors.New("no such role")
	ErrName     = errors.New("the name must have 1 to 60 letters, digits, dots, dashes or underscores")
	ErrTaken    = errors.New("an account of that name exists")
	ErrPassword = errors.New("the password must have 12 to 200 characters and not hold the name")
	ErrNone     = errors.New("no account of that name")
)

// Account is somebody who may sign in.
type Account struct {
	ID         string
	Name       string
	Role       Role
	CreatedAt  time.Time
	ChangedAt  time.Time // of its role or password
	DisabledAt time.Time // zero: not disabled
}

// Actor is the account in the trail.
func (a Account) Actor() string { return "staff:" + a.Name }

// params are the second recommended choice of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
func params() *argon2id.Params {
	return &argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}
}

// fold is a name as it is compared: whatever its case and composition.
func fold(name string) string { return cases.Fold().String(norm.NFKC.String(strings.TrimSpace(name))) }

func checkName(name string) (string, error) {
	name = norm.NFC.String(strings.TrimSpace(name))
	if n := utf8.RuneCountInString(name); n < 1 || n > 60 || !utf8.ValidString(name) {
		return "", ErrName
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r) {
			return "", ErrName
		}
	}
	return name, nil
}

func checkPassword(name, password string) error {
	n := utf8.RuneCountInString(password)
	if n < 12 || n > 200 || !utf8.ValidString(password) || strings.Contains(fold(password), fold(name)) && n < 24 {
		return ErrPassword
	}
	return nil
}

// Add makes an account; by is who does it, for the trail. ErrName, ErrTaken, ErrRole, ErrPassword say what is wrong.
func Add(ctx context.Context, db *sqldb.DB, by, name string, role Role, password string) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	if _, err := ParseRole(string(role)); err != nil {
		return err
	}
	hash, err := hashed(name, password)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an account id: %w", err)
	}
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO staff (id, name, folded, role, password, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			id.String(), name, fold(name), string(role), hash, sqldb.At(now), sqldb.At(now)); err != nil {
			return err
		}
		return trail.Append(ctx, tx, trail.Entry{Actor: by, Action: trail.StaffAdded, Detail: name + " as " + string(role)})
	})
	if sqldb.IsUnique(err) {
		return ErrTaken
	}
	return wrapped("add an account", err)
}

func hashed(name, password string) (string, error) {
	if err := checkPassword(name, password); err != nil {
		return "", err
	}
	hash, err := argon2id.CreateHash(password, params())
	return hash, wrapped("hash a password", err)
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// SetRole gives the account another role, and signs it out. ErrNone when there is none.
func SetRole(ctx context.Context, db *sqldb.DB, by, name string, role Role) error {
	if _, err := ParseRole(string(role)); err != nil {
		return err
	}
	return change(ctx, db, by, name, trail.StaffRole, "to "+string(role), `role = ?`, string(role))
}

// SetPassword gives the account another password, and signs it out. ErrNone when there is none.
func SetPassword(ctx context.Context, db *sqldb.DB, by, name, password string) error {
	hash, err := hashed(name, password)
	if err != nil {
		return err
	}
	return change(ctx, db, by, name, trail.StaffPassword, "", `password = ?`, hash)
}

// Disable ends the account's sessions and lets it sign in no more. ErrNone when there is none.
func Disable(ctx context.Context, db *sqldb.DB, by, name string) error {
	return change(ctx, db, by, name, trail.StaffDisabled, "", `disabled_at = COALESCE(disabled_at, ?)`, nil)
}

// Enable lets it sign in again. ErrNone when there is none.
func Enable(ctx context.Context, db *sqldb.DB, by, name string) error {
	return change(ctx, db, by, name, trail.StaffEnabled, "", `disabled_at = ?`, (*sqldb.Time)(nil))
}

// change sets one column of an account; the value nil stands for now.
func change(ctx context.Context, db *sqldb.DB, by, name string, action trail.Action, detail, set string, value any) error {
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		v := value
		if v == nil {
			v = sqldb.At(now)
		}
		n, err := tx.Exec(ctx, `UPDATE staff SET `+set+`, changed_at = ? WHERE folded = ?`, v, sqldb.At(now), fold(name))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNone
		}
		return trail.Append(ctx, tx, trail.Entry{Actor: by, Action: action, Detail: strings.TrimSpace(norm.NFC.String(strings.TrimSpace(name)) + " " + detail)})
	})
	return wrapped("change an account", err)
}

// row is an account as it is stored.
type row struct {
	ID       string      `db:"id"`
	Name     string      `db:"name"`
	Role     string      `db:"role"`
	Password string      `db:"password"`
	Created  sqldb.Time  `db:"created_at"`
	Changed  sqldb.Time  `db:"changed_at"`
	Disabled *sqldb.Time `db:"disabled_at"`
}

func (r row) account() Account {
	a := Account{ID: r.ID, Name: r.Name, Role: Role(r.Role), CreatedAt: r.Created.Time, ChangedAt: r.Changed.Time}
	if r.Disabled != nil {
		a.DisabledAt = r.Disabled.Time
	}
	return a
}

const columns = `id, name, role, password, created_at, changed_at, disabled_at`

// List returns all accounts, by name.
func List(ctx context.Context, db *sqldb.DB) (accounts []Account, err error) {
	var rows []row
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, `SELECT `+columns+` FROM staff ORDER BY folded`)
	})
	for _, r := range rows {
		accounts = append(accounts, r.account())
	}
	return accounts, wrapped("list accounts", err)
}

// Get returns the account with that id if a session of it that began at since still counts: it is not disabled and has not
// changed since. ErrNone otherwise.
func Get(ctx context.Context, db *sqldb.DB, id string, since time.Time) (Account, error) {
	r, err := find(ctx, db, `id = ?`, id)
	if err != nil {
		return Account{}, err
	}
	a := r.account()
	if !a.DisabledAt.IsZero() || since.Before(a.ChangedAt) {
		return Account{}, ErrNone
	}
	return a, nil
}

func find(ctx context.Context, db *sqldb.DB, where, value string) (r row, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &r, `SELECT `+columns+` FROM staff WHERE `+where, value)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNone
	}
	return r, wrapped("read an account", err)
}
