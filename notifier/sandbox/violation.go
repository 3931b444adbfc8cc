package sandbox

import (
	"net/http"
	"sync"
	"time"
)

// Violation is a request that carried what must never be sent to Twilio: its API has no idempotency keys, and Go's
// transport takes such a header as leave to send a POST again by itself.
type Violation struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	What   string    `json:"what"`
	SID    string    `json:"sid,omitempty"` // the text that the request made, if it made one
}

const violationsKept = 1000

type violations struct {
	mu    sync.Mutex
	kept  []Violation
	total int
}

// find names the forbidden header that a request carries, "" when it has none.
func findViolation(h http.Header) string {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, ok := h[name]; ok {
			return name + " header"
		}
	}
	return ""
}

func (v *violations) add(x Violation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.total++
	if len(v.kept) < violationsKept {
		v.kept = append(v.kept, x)
	}
}

func (v *violations) list() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]Violation{}, v.kept...)
}

func (v *violations) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.total
}
