package api

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"ansim/booking"
)

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
	found, err := c.service.Lookup(c.r.Context(), booking.Proof{Code: code, BirthDates: []string{birthDate}, From: Network(c.r, c.proxies)})
	if errors.Is(err, booking.ErrNotFound) {
		return errNotLookedUp
	}
	if err != nil {
		return err
	}
	texts, err := c.textsOf(c.r.Context(), []string{found.ID})
	if err != nil {
		return err
	}
	r := c.render(found.Reservation, confirmationOf(found.Reservation, texts[found.ID], c.now()))
	c.w.Header().Set("Vary", "Accept-Language")
	return writeJSON(c.w, http.StatusOK, lookupJSON{Code: r.Code, Status: r.Status, Programme: translationJSON(found.Programme), Slot: r.Slot,
		Site: placeJSON(found.Site), Resident: r.Resident, BookedBy: r.BookedBy, Confirmation: r.Confirmation})
}

var errNotLookedUp = errors.New("no reservation has this code and birth date")

// Network is where a request comes from: of IPv4 the address, of IPv6 its /64, which one household has, and "" when it cannot
// be told. Behind a trusted proxy it is the last address in X-Forwarded-For that no trusted proxy has; what stands before it,
// anybody may have written.
func Network(r *http.Request, proxies []netip.Prefix) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap()
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && trusted(proxies, addr); i-- {
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
