package staff

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/semaphore"

	"ansim/notifier/console/trail"
	"ansim/schema/guesses"
	"ansim/schema/sqldb"
)

// The limits on sign-ins that fail. There is none on an account alone: whoever knows a name could then keep its owner out. What
// stands against many networks that guess for one account is the password, of 12 characters and more.
const (
	// pairFailures is how often in pairSpan a sign-in to one account from one network may fail.
	pairFailures = 10
	pairSpan     = 15 * time.Minute
	// networkFailures is how often an hour sign-ins from one network may fail, whatever the account.
	networkFailures = 100
	// hashes is how many passwords are compared at once: each takes 64 MiB and some tenth of a second of every processor.
	hashes = 2
	// hashWait is how long a sign-in waits for its turn.
	hashWait = 10 * time.Second
)

// ErrRefused says that the name or the password is wrong, or the account is disabled; which of them nobody is told.
var ErrRefused = errors.New("the name or the password is wrong")

// ErrBusy says that too many sign in at once.
var ErrBusy = errors.New("too many sign in at once")

// TooMany says that too many sign-ins have failed, and how long to wait.
type TooMany struct{ Wait time.Duration }

// Error implements error.
func (e *TooMany) Error() string { return "too many sign-ins have failed" }

// Door lets staff in.
type Door struct {
	db              *sqldb.DB
	pairs, networks *guesses.Counter
	turns           *semaphore.Weighted
	nobody          string // a hash that no password has, so that a name that does not exist takes as long
}

// NewDoor makes one; now is the clock by which failures are forgotten.
func NewDoor(db *sqldb.DB, now func() time.Time) (*Door, error) {
	nobody, err := argon2id.CreateHash(fmt.Sprint("nobody", time.Now().UnixNano()), params())
	if err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	return &Door{db: db, pairs: guesses.New(pairFailures, pairSpan, now), networks: guesses.New(networkFailures, time.Hour, now),
		turns: semaphore.NewWeighted(hashes), nobody: nobody}, nil
}

// SignIn returns the account whose name and password these are. ErrRefused, ErrBusy and *TooMany say why not. Both that
// somebody came in and that somebody did not are in the trail.
func (d *Door) SignIn(ctx context.Context, name, password, network string) (Account, error) {
	pair := fold(name) + "\x00" + network
	if wait := max(d.pairs.Wait(pair), d.networks.Wait(network)); wait > 0 {
		return Account{}, &TooMany{wait}
	}
	r, err := find(ctx, d.db, `folded = ?`, fold(name))
	known := err == nil
	if err != nil && !errors.Is(err, ErrNone) {
		return Account{}, err
	}
	hash := d.nobody
	if known {
		hash = r.Password
	}
	right, err := d.compare(ctx, password, hash)
	if err != nil {
		return Account{}, err
	}
	a := r.account()
	if !right || !known || !a.DisabledAt.IsZero() {
		wait := max(d.pairs.Count(pair), d.networks.Count(network))
		if err := d.tell(ctx, "", trail.SignInFailed, a, known); err != nil {
			return Account{}, err
		}
		if wait > 0 {
			return Account{}, &TooMany{wait}
		}
		return Account{}, ErrRefused
	}
	return a, d.tell(ctx, a.Actor(), trail.SignedIn, a, true)
}

// compare says whether the password has the hash. A password longer than any that there is need not be hashed.
func (d *Door) compare(ctx context.Context, password, hash string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	if err := d.turns.Acquire(ctx, 1); err != nil {
		return false, ErrBusy
	}
	defer d.turns.Release(1)
	if len(password) > 1000 {
		password = ""
	}
	right, err := argon2id.ComparePasswordAndHash(password, hash)
	return right, wrapped("compare a password", err)
}

// tell puts a sign-in into the trail. A name that is nobody's is not kept: it may be a password in the wrong field.
func (d *Door) tell(ctx context.Context, actor string, action trail.Action, a Account, known bool) error {
	e := trail.Entry{Actor: actor, Action: action}
	if action == trail.SignInFailed {
		e.Actor, e.Detail = "nobody", "unknown name"
		if known {
			e.Detail = a.Name
		}
	}
	err := d.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return trail.Append(ctx, tx, e) })
	return wrapped("put a sign-in into the trail", err)
}
