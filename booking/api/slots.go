package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"ansim/booking"
)

const (
	// slotsFor is how long a page of slots is shown without asking the database again: on a busy night everybody looks at the
	// same few pages, and each is read once a second, not once a person.
	slotsFor = time.Second
	// maxSlotPages bounds how many pages are kept, since a stranger can ask for any.
	maxSlotPages = 1000
	// defaultSlots is how many slots a page has unless the caller says.
	defaultSlots = 100
)

// slotCache is the read model of slots: pages, each read at most once in slotsFor, by one of those who ask for it. Bookings
// never wait for it, and it never waits for bookings.
type slotCache struct {
	list  func(context.Context, booking.SlotQuery) (booking.SlotPage, error)
	group singleflight.Group
	mu    sync.Mutex
	pages map[booking.SlotQuery]slotPage
}

type slotPage struct {
	booking.SlotPage
	read time.Time
}

func newSlotCache(list func(context.Context, booking.SlotQuery) (booking.SlotPage, error)) *slotCache {
	return &slotCache{list: list, pages: map[booking.SlotQuery]slotPage{}}
}

func (s *slotCache) get(ctx context.Context, q booking.SlotQuery) (booking.SlotPage, error) {
	s.mu.Lock()
	kept, ok := s.pages[q]
	s.mu.Unlock()
	if ok && time.Since(kept.read) < slotsFor {
		return kept.SlotPage, nil
	}
	ch := s.group.DoChan(fmt.Sprintf("%+v", q), func() (any, error) {
		// One caller's hanging up must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		read := time.Now()
		page, err := s.list(ctx, q)
		if err == nil {
			s.keep(q, slotPage{page, read})
		}
		return page, err
	})
	select {
	case <-ctx.Done():
		return booking.SlotPage{}, ctx.Err()
	case r := <-ch:
		if r.Err != nil {
			return booking.SlotPage{}, r.Err
		}
		return r.Val.(booking.SlotPage), nil
	}
}

func (s *slotCache) keep(q booking.SlotQuery, page slotPage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pages) >= maxSlotPages {
		for k, p := range s.pages {
			if time.Since(p.read) >= slotsFor {
				delete(s.pages, k)
			}
		}
	}
	if len(s.pages) < maxSlotPages {
		s.pages[q] = page
	}
}

// freeSlotJSON is a slot with its places.
type freeSlotJSON struct {
	slotJSON
	Capacity  int `json:"capacity" minimum:"0" example:"60"`
	Remaining int `json:"remaining" minimum:"0" example:"12" doc:"Places that were free at as_of. Only a booking makes sure of one."`
}

type slotList struct {
	Slots      []freeSlotJSON `json:"slots" nullable:"false" doc:"By time, and then by id."`
	AsOf       string         `json:"as_of" format:"date-time" example:"2021-07-19T20:00:07+09:00" doc:"When this was so; at most a second or so ago."`
	NextCursor string         `json:"next_cursor,omitempty" doc:"For the next page; absent from the last."`
}

// listSlots is GET /v1/slots.
func (c *call) listSlots() error {
	q, err := readSlotQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	page, err := c.slots.get(c.r.Context(), q)
	if err != nil {
		return err
	}
	out := slotList{Slots: make([]freeSlotJSON, len(page.Slots)), AsOf: stamp(page.At)}
	for i, s := range page.Slots {
		out.Slots[i] = freeSlotJSON{slotOf(s.Slot), s.Capacity, s.Remaining}
	}
	if n := len(page.Slots); n > 0 {
		out.AsOf = stamp(page.At.In(page.Slots[0].StartsAt.Location()))
		if page.More {
			out.NextCursor = cursorOf(booking.SlotMark{StartsAt: page.Slots[n-1].StartsAt, ID: page.Slots[n-1].ID})
		}
	}
	tag, err := slotsTag(out)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache") // nobody's data, but it grows old: ask again, with the tag
	if matches(c.r.Header.Values("If-None-Match"), tag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(c.w, http.StatusOK, out)
}

// slotsTag is a weak ETag: two lists with the same slots and places are the same list, whenever they were read.
func slotsTag(list slotList) (string, error) {
	list.AsOf = ""
	body, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("write the slots: %w", err)
	}
	sum := sha256.Sum256(body)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}

// matches says whether one of If-None-Match's tags is tag; weak and strong are the same here (RFC 9110, 13.1.2).
func matches(values []string, tag string) bool {
	opaque := strings.TrimPrefix(tag, "W/")
	for _, v := range values {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == opaque {
				return true
			}
		}
	}
	return false
}

// cursorOf is a mark as clients keep it, and readCursor the mark of a cursor.
func cursorOf(m booking.SlotMark) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(m.StartsAt.UnixMicro(), 10) + " " + m.ID))
}

func readCursor(s string) (booking.SlotMark, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return booking.SlotMark{}, false
	}
	micros, id, _ := strings.Cut(string(raw), " ")
	at, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || !plausible(time.UnixMicro(at)) {
		return booking.SlotMark{}, false
	}
	if _, err := idRule(id, time.Time{}); err != nil {
		return booking.SlotMark{}, false
	}
	return booking.SlotMark{StartsAt: time.UnixMicro(at).UTC(), ID: id}, true
}

// plausible says whether t is a time that both databases can hold, and a slot may have.
func plausible(t time.Time) bool { return !t.Before(firstTime) && t.Before(lastTime) }

var (
	firstTime = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// slotParameters are what GET /v1/slots can be asked.
var slotParameters = []string{"programme", "site", "from", "to", "cursor", "limit"}

// readSlotQuery reads the query of GET /v1/slots. What it does not know is refused: a filter with a slip of the pen would
// otherwise show other slots than were asked for.
func readSlotQuery(raw string) (booking.SlotQuery, error) {
	c := &checker{}
	q := booking.SlotQuery{Limit: defaultSlots}
	values, err := url.ParseQuery(raw)
	if err != nil {
		c.bad("query", codeQuery, "")
		return q, c.err()
	}
	for name := range values {
		if !slices.Contains(slotParameters, name) {
			c.bad(safeName(name), codeUnknown, strings.Join(slotParameters, ", "))
		}
	}
	for _, name := range slotParameters {
		switch v := values[name]; {
		case len(v) == 0:
		case len(v) > 1:
			c.bad(name, codeDuplicate, "")
		default:
			c.slotParameter(&q, name, v[0])
		}
	}
	if len(values["programme"]) == 0 {
		c.bad("programme", codeMissing, "")
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		c.bad("to", codeTimeOrder, "from")
	}
	return q, c.err()
}

func (c *checker) slotParameter(q *booking.SlotQuery, name, value string) {
	id := func() string {
		if _, err := idRule(value, time.Time{}); err != nil {
			c.bad(name, slugOf(err), "")
		}
		return value
	}
	// A time that no slot has asks for the same as the nearest that one may have.
	instant := func() time.Time {
		t, err := time.Parse(time.RFC3339, value)
		switch {
		case err != nil:
			c.bad(name, codeTime, "")
			return time.Time{}
		case t.Before(firstTime):
			return firstTime
		case t.After(lastTime):
			return lastTime
		}
		return t.UTC()
	}
	switch name {
	case "programme":
		q.Programme = id()
	case "site":
		q.Site = id()
	case "from":
		q.From = instant()
	case "to":
		q.To = instant()
	case "cursor":
		var ok bool
		if q.After, ok = readCursor(value); !ok {
			c.bad(name, codeCursor, "")
		}
	case "limit":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n < 1 || n > booking.MaxSlots {
			c.bad(name, codeLimit, strconv.Itoa(booking.MaxSlots))
		}
		q.Limit = int(n)
	}
}
