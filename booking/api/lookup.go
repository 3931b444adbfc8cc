package api

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ansim/booking"
)

// The limits of the public lookup. Only failures count, and each process counts its own.
const (
	// codeFailures is how often an hour a lookup of one code may fail. Who was given a code needs one or two; who guesses the
	// birth date to a code that they saw would need thousands.
	codeFailures = 10
	// addressFailures is the same for one address (of IPv6 its /64, which one household has). Thousands of people share a mobile
	// carrier's address, and some of each thousand mistype.
	addressFailures = 3000
	// maxLimits bounds what is remembered of each kind. Beyond it failures of what is not remembered yet are told to wait.
	maxLimits = 100_000
)

var errTooManyLookups = errors.New("too many lookups have failed")

// lookupLimits counts failed lookups. A code whose failures are used up is not looked up at all, lest guessing go on; an address
// whose failures are used up still finds what is right, since its neighbours did not use them up.
type lookupLimits struct {
	codes, addresses failures
}

func newLookupLimits(now func() time.Time) *lookupLimits {
	of := func(n int) failures {
		return failures{now: now, every: time.Hour / time.Duration(n), burst: n, of: map[[16]byte]*rate.Limiter{}}
	}
	return &lookupLimits{codes: of(codeFailures), addresses: of(addressFailures)}
}

// failures are those of one kind, by a hash of what failed, so that no code and no address stays in memory.
type failures struct {
	now   func() time.Time
	every time.Duration // one more failure is allowed after this
	burst int
	mu    sync.Mutex
	of    map[[16]byte]*rate.Limiter
}

// wait is how long who must wait before it may fail again, 0 when it may now.
func (f *failures) wait(who string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.of[keyOf(who)]
	if l == nil {
		return 0
	}
	return f.untilOne(l)
}

func (f *failures) untilOne(l *rate.Limiter) time.Duration {
	missing := 1 - l.TokensAt(f.now())
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing*float64(f.every)), time.Second)
}

// count counts a failure, and says how long who must wait if it has none left.
func (f *failures) count(who string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, now := keyOf(who), f.now()
	l := f.of[k]
	if l == nil {
		if len(f.of) >= maxLimits {
			f.forget(now)
		}
		if len(f.of) >= maxLimits {
			return f.every
		}
		l = rate.NewLimiter(rate.Every(f.every), f.burst)
		f.of[k] = l
	}
	if l.AllowN(now, 1) {
		return 0
	}
	return f.untilOne(l)
}

// forget drops those that have all their failures back: they are as if they had never failed.
func (f *failures) forget(now time.Time) {
	for k, l := range f.of {
		if l.TokensAt(now) >= float64(f.burst) {
			delete(f.of, k)
		}
	}
}

func keyOf(who string) [16]byte {
	sum := sha256.Sum256([]byte(who))
	return [16]byte(sum[:16])
}

// lookupJSON is a reservation as the person themselves sees it.
type lookupJSON struct {
	Code         string           `json:"code" example:"K7Q29-3TX4M"`
	Status       string           `json:"status" enum:"confirmed,cancelled"`
	Programme    translationJSON  `json:"programme"`
	Slot         slotJSON         `json:"slot"`
	Site         placeJSON        `json:"site"`
	Resident     personJSON       `json:"resident"`
	BookedBy     *personJSON      `json:"booked_by,omitempty"`
	Confirmation confirmationJSON `json:"confirmation" doc:"What became of the texts."`
}

type placeJSON struct {
	Ko string `json:"ko" example:"강남구보건소"`
	En string `json:"en" example:"Gangnam Health Center"`
}

// lookup is POST /v1/lookup. It reads only, from the read pool, so it answers while bookings queue and texting is down.
func (c *call) lookup() error {
	body, err := c.json()
	if err != nil {
		return err
	}
	code, birthDate, err := readLookup(body, c.now())
	if err != nil {
		return err
	}
	if wait := c.lookups.codes.wait(code); wait > 0 {
		return tooManyLookups(wait)
	}
	found, err := c.service.Lookup(c.r.Context(), code, birthDate)
	if errors.Is(err, booking.ErrNotFound) {
		byCode, byAddress := c.lookups.codes.count(code), c.lookups.addresses.count(c.address())
		if wait := max(byCode, byAddress); wait > 0 {
			return tooManyLookups(wait)
		}
		return errNotLookedUp
	}
	if err != nil {
		return err
	}
	texts, err := c.textsOf(c.r.Context(), []string{found.ID})
	if err != nil {
		return err
	}
	r := c.render(found.Reservation, confirmationOf(found.Reservation, texts[found.ID]))
	c.w.Header().Set("Vary", "Accept-Language")
	return writeJSON(c.w, http.StatusOK, lookupJSON{Code: r.Code, Status: r.Status, Programme: translationJSON(found.Programme), Slot: r.Slot,
		Site: placeJSON(found.Site), Resident: r.Resident, BookedBy: r.BookedBy, Confirmation: r.Confirmation})
}

var errNotLookedUp = errors.New("no reservation has this code and birth date")

func tooManyLookups(wait time.Duration) error {
	return &booking.Refusal{Kind: errTooManyLookups, RetryAfter: wait}
}

// address is the client's network: of IPv4 its address, of IPv6 its /64. Behind a trusted proxy it is the last address in
// X-Forwarded-For that no trusted proxy has; what stands before it, anybody may have written.
func (c *call) address() string {
	at, err := netip.ParseAddrPort(c.r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap()
	forwarded := strings.Split(strings.Join(c.r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && trusted(c.proxies, addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

func trusted(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
