package sandbox

import (
	"container/list"
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// store keeps every text in memory, in the order in which the network took it.
type store struct {
	now func() time.Time

	mu       sync.RWMutex
	all      []*message
	bySID    map[string]*message
	phones   map[string]*phone
	recent   *list.List // of *phone, the one with the newest text first
	seed     maphash.Seed
	bodies   map[uint64]int32 // how often the same words went to the same number
	counts   map[Status]int
	doubles  int
	changed  chan struct{} // closed and renewed at each change
	watchers int
}

// phone is a number and the texts that it got, oldest first.
type phone struct {
	number string
	texts  []*message
	place  *list.Element
	rev    int // moves with each change, so that the page knows what to redraw
}

func newStore(now func() time.Time) *store {
	return &store{
		now: now, bySID: map[string]*message{}, phones: map[string]*phone{}, recent: list.New(), seed: maphash.MakeSeed(),
		bodies: map[uint64]int32{}, counts: map[Status]int{}, changed: make(chan struct{}),
	}
}

// add makes texts visible that are durable.
func (s *store) add(messages []*message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		s.all = append(s.all, m)
		s.bySID[m.SID] = m
		s.counts[m.status]++
		key := s.wordsOf(m)
		if s.bodies[key]++; s.bodies[key] > 1 {
			s.doubles++
		}
		p := s.phones[m.To]
		if p == nil {
			p = &phone{number: m.To}
			p.place = s.recent.PushFront(p)
			s.phones[m.To] = p
		}
		p.texts = append(p.texts, m)
		p.rev++
		s.recent.MoveToFront(p.place)
	}
	s.announce()
}

// wordsOf stands for the words of a text and the number that they went to.
func (s *store) wordsOf(m *message) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(m.To)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(m.Body)
	return h.Sum64()
}

// advance moves texts to their next states, all at the same moment, and says when that is.
func (s *store) advance(moves []move) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, mv := range moves {
		m := mv.m
		s.counts[m.status]--
		m.status, m.code, m.updated = mv.status, mv.code, now
		s.counts[m.status]++
		if m.status == Sent || (m.sentAt.IsZero() && m.status.final() && m.status != Failed) {
			m.sentAt = now
		}
		if p := s.phones[m.To]; p != nil {
			p.rev++
		}
	}
	s.announce()
	return now
}

// announce wakes whoever waits for a change; s.mu is held.
func (s *store) announce() {
	if s.watchers > 0 {
		close(s.changed)
		s.changed, s.watchers = make(chan struct{}), 0
	}
}

// touch has the pages drawn again though no text has changed.
func (s *store) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announce()
}

// watch gives a channel that closes at the next change.
func (s *store) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers++
	return s.changed
}

func (m *message) snapshot() Message {
	return Message{Entry: m.Entry, Status: m.status, ErrorCode: m.code, SentAt: m.sentAt, UpdatedAt: m.updated}
}

// hidden says whether a lag still keeps a text from being shown.
func (m *message) hidden(lag Duration, now time.Time) bool {
	return lag > 0 && now.Before(m.At.Add(time.Duration(lag)))
}

// get gives a text, unless reading it by its SID lags.
func (s *store) get(sid string) (Message, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.bySID[sid]
	if !ok || m.hidden(m.FetchLag, s.now()) {
		return Message{}, false
	}
	return m.snapshot(), true
}

// filter is what a list may be narrowed by.
type filter struct {
	to, from        string
	onDay           string // DateSent=, YYYY-MM-DD in GMT
	notAfter, since string // DateSent<= and DateSent>=
}

func (f filter) takes(m *message, now time.Time) bool {
	if f.from != "" && m.From != f.from {
		return false
	}
	if m.hidden(m.ListLag, now) {
		return false
	}
	if f.onDay == "" && f.notAfter == "" && f.since == "" {
		return true
	}
	if m.sentAt.IsZero() {
		return false // has no date_sent yet: Twilio's filter does not show it
	}
	day := m.sentAt.UTC().Format(time.DateOnly)
	return (f.onDay == "" || day == f.onDay) && (f.notAfter == "" || day <= f.notAfter) && (f.since == "" || day >= f.since)
}

// page lists newest first up to n texts older than the one named before (all when empty), and says whether more follow.
// With newer it lists the n that come just before that text instead. ok is false when that text is not known.
func (s *store) page(f filter, token string, newer bool, n int) (found []Message, more, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	texts := s.all
	if f.to != "" {
		texts = nil
		if p := s.phones[f.to]; p != nil {
			texts = p.texts
		}
	}
	var edge int64
	if token != "" {
		m, known := s.bySID[token]
		if !known {
			return nil, false, false
		}
		edge = m.Seq
	}
	now := s.now()
	if newer {
		return s.newer(texts, f, edge, n, now)
	}
	for i := len(texts) - 1; i >= 0; i-- {
		m := texts[i]
		if (edge != 0 && m.Seq >= edge) || !f.takes(m, now) {
			continue
		}
		if len(found) == n {
			return found, true, true
		}
		found = append(found, m.snapshot())
	}
	return found, false, true
}

func (s *store) newer(texts []*message, f filter, edge int64, n int, now time.Time) (found []Message, more, ok bool) {
	for _, m := range texts {
		if m.Seq <= edge || !f.takes(m, now) {
			continue
		}
		if len(found) == n {
			break
		}
		found = append(found, m.snapshot())
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found, true, true // the text named by the token follows
}

// entries gives up to n lines of the log after the first skip.
func (s *store) entries(skip, n int) []Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if skip >= len(s.all) {
		return nil
	}
	rest := s.all[skip:]
	if len(rest) > n {
		rest = rest[:n]
	}
	out := make([]Entry, len(rest))
	for i, m := range rest {
		out[i] = m.Entry
	}
	return out
}

// wait blocks until the network has taken n texts in all.
func (s *store) wait(ctx context.Context, enough func(taken int, counts map[Status]int) bool) error {
	for {
		changed := s.watch()
		s.mu.RLock()
		done := enough(len(s.all), s.counts)
		s.mu.RUnlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newest gives up to n phones whose number contains digits, newest first, each with its newest texts, and how many match.
func (s *store) newest(digits string, n, texts int) []phoneSnapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []phoneSnapshot
	for e := s.recent.Front(); e != nil && len(out) < n; e = e.Next() {
		p := e.Value.(*phone)
		if digits != "" && !strings.Contains(p.number, digits) {
			continue
		}
		snap := phoneSnapshot{number: p.number, rev: p.rev}
		for i := len(p.texts) - 1; i >= 0 && len(snap.texts) < texts; i-- {
			snap.texts = append(snap.texts, p.texts[i].snapshot())
		}
		snap.older = len(p.texts) - len(snap.texts)
		out = append(out, snap)
	}
	return out
}

type phoneSnapshot struct {
	number string
	rev    int
	texts  []Message // newest first
	older  int       // texts that are not shown
}
