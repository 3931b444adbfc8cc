package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// The account that a sandbox has unless told otherwise. They open nothing but sandboxes.
const (
	DefaultAccountSID = "AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d"
	DefaultAuthToken  = "5a4db0c0000000000000000000000001"
	DefaultFrom       = "+15005550006" // the magic number that may always send
)

// Options say what network it is. The zero value is one that forgets everything when it is closed.
type Options struct {
	// Data is the folder of the log. Empty keeps everything in memory.
	Data string
	// AccountSID and AuthToken open the API and sign the callbacks. Empty: DefaultAccountSID and DefaultAuthToken.
	// An AccountSID is of letters and digits.
	AccountSID, AuthToken string
	// Senders are the numbers that the account owns. Empty: every well-formed number, short code and sender name.
	Senders []string
	// Seed decides delays and the dice of fault rules. The same seed and requests give the same faults.
	Seed uint64
	// SentAfter and DeliveredAfter are the least and the greatest time from taking a text to its states.
	// Default 20–60 ms and 80–400 ms. A greatest of 0 keeps the default; use 1 ns for at once.
	SentAfter, DeliveredAfter [2]time.Duration
	// CallbackWorkers bounds the callbacks that are under way at once. Default 256.
	CallbackWorkers int
	// CallbackTimeout bounds one try of a callback, and all of them together. Default 15 s, as Twilio's.
	CallbackTimeout time.Duration
	// CallbackRetries are the pauses before the first, the second … further try of a callback, the last for all that
	// follow. Whether there is one is for the callback's URL to say; see the package comment. Default 100 ms, 500 ms, 1 s;
	// empty but not nil: no callback is tried again, whatever its URL says.
	CallbackRetries []time.Duration
	// ListLag is how long lists do not show a text; a rule can say otherwise for its texts. Default 0. Reading a text by its
	// SID never lags unless a rule says so.
	ListLag time.Duration
	// Log gets what an operator would want to know. Default: nothing is logged.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server is a telephone network. It is an http.Handler; see the package comment for what it answers.
type Server struct {
	opts    Options
	log     *slog.Logger
	handler http.Handler
	store   *store
	journal *journal // texts, fsynced
	states  *journal // how texts ended, not fsynced: a lost line means that callbacks come twice
	lock    *flock.Flock
	faults  faults
	carrier *carrier
	viols   violations
	seq     int64 // of the last text; guarded by journal.mu
	basic   string
	buffers sync.Pool // of *bytes.Buffer, for requests and answers

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once
}

// New opens a network: it reads the log in Options.Data and goes on where that ended. A text in the log that had not
// come to its end is delivered now, with its callbacks from the beginning: a network that restarts has not forgotten
// what it took, and receivers of callbacks must stand repetitions. Close it.
func New(opts Options) (*Server, error) {
	opts = opts.withDefaults()
	if !alphanumeric(opts.AccountSID) {
		return nil, errors.New("sandbox: the account SID must be of letters and digits, as Twilio's AC… are")
	}
	s := &Server{opts: opts, log: opts.Log, store: newStore(opts.Now)}
	s.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(opts.AccountSID+":"+opts.AuthToken))
	s.buffers.New = func() any { return new(bytes.Buffer) }
	s.faults.seed, s.faults.now = opts.Seed, opts.Now
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.cancel()
		return nil, err
	}
	s.carrier = newCarrier(s)
	s.handler = s.routes()
	for _, m := range s.store.all {
		if !m.status.final() {
			s.carrier.take(m, callbackTarget(m.Callback))
		}
	}
	return s, nil
}

func alphanumeric(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') })
}

// callbackTarget is where callbacks go, nil when nobody wants them.
func callbackTarget(callback string) *target {
	if callback == "" {
		return nil
	}
	t, err := parseTarget(callback)
	if err != nil {
		return nil // was checked when the text was taken; only a log edited by hand comes here
	}
	return &t
}

func (o Options) withDefaults() Options {
	o.AccountSID = cmp.Or(o.AccountSID, DefaultAccountSID)
	o.AuthToken = cmp.Or(o.AuthToken, DefaultAuthToken)
	if o.SentAfter[1] == 0 {
		o.SentAfter = [2]time.Duration{20 * time.Millisecond, 60 * time.Millisecond}
	}
	if o.DeliveredAfter[1] == 0 {
		o.DeliveredAfter = [2]time.Duration{80 * time.Millisecond, 400 * time.Millisecond}
	}
	o.CallbackWorkers = cmp.Or(o.CallbackWorkers, 256)
	o.CallbackTimeout = cmp.Or(o.CallbackTimeout, 15*time.Second)
	if o.CallbackRetries == nil {
		o.CallbackRetries = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// The files in Options.Data.
const (
	logFile   = "texts.ndjson"
	stateFile = "states.ndjson"
	lockFile  = "sandbox.lock"
)

func (s *Server) open() error {
	if s.opts.Data == "" {
		s.journal = newJournal(nil, 0, false, s.store.add)
		s.states = newJournal(nil, 0, false, nil)
		return nil
	}
	if err := os.MkdirAll(s.opts.Data, 0o700); err != nil {
		return fmt.Errorf("sandbox: make the data folder: %w", err)
	}
	s.lock = flock.New(filepath.Join(s.opts.Data, lockFile))
	if ok, err := s.lock.TryLock(); err != nil || !ok {
		return errors.Join(fmt.Errorf("sandbox: %s is in use by another sandbox", s.opts.Data), err)
	}
	texts, size, err := s.reload(logFile, s.reloadText)
	if err != nil {
		return errors.Join(err, s.lock.Unlock())
	}
	states, stateSize, err := s.reload(stateFile, s.reloadState)
	if err != nil {
		return errors.Join(err, texts.Close(), s.lock.Unlock())
	}
	s.journal = newJournal(texts, size, true, s.store.add)
	s.states = newJournal(states, stateSize, false, nil)
	return nil
}

func (s *Server) reload(name string, line func([]byte) error) (*os.File, int64, error) {
	f, err := os.OpenFile(filepath.Join(s.opts.Data, name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("sandbox: open the log: %w", err)
	}
	size, err := readLines(f, s.log, line)
	if err == nil {
		err = syncDir(s.opts.Data)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("sandbox: %w", err), f.Close())
	}
	return f, size, nil
}

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Server) reloadText(line []byte) error {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if e.Seq != s.seq+1 {
		return fmt.Errorf("text %d follows text %d", e.Seq, s.seq)
	}
	s.seq = e.Seq
	s.store.add([]*message{newMessage(e)})
	return nil
}

// stateLine is how a text ended.
type stateLine struct {
	SID    string    `json:"sid"`
	Status Status    `json:"status"`
	Code   int       `json:"code,omitempty"`
	Sent   time.Time `json:"sent,omitzero"`
	At     time.Time `json:"at"`
}

func (s *Server) reloadState(line []byte) error {
	var l stateLine
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if m, ok := s.store.bySID[l.SID]; ok {
		s.store.counts[m.status]--
		m.status, m.code, m.sentAt, m.updated = l.Status, l.Code, l.Sent, l.At
		s.store.counts[m.status]++
	}
	return nil
}

func newMessage(e Entry) *message {
	return &message{Entry: e, status: firstStatus(&e), updated: e.At}
}

// firstStatus is that of a text which was just taken.
func firstStatus(e *Entry) Status {
	if e.Service != "" {
		return Accepted
	}
	return Queued
}

// take makes a text part of the network, and returns once that is durable. It does not go on its way by that.
func (s *Server) take(e *Entry) (*message, error) {
	m := newMessage(*e)
	g, err := s.journal.add(m, func(dst []byte) []byte {
		m.Seq = s.seq + 1
		s.seq = m.Seq
		return appendEntry(dst, &m.Entry)
	})
	if err != nil {
		return nil, err
	}
	<-g.done
	return m, g.err
}

// ServeHTTP answers as the network does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Handler is the server itself, for whoever wants to wrap it.
func (s *Server) Handler() http.Handler { return s }

// AccountSID is the account that opens the API.
func (s *Server) AccountSID() string { return s.opts.AccountSID }

// AuthToken opens the API and signs the callbacks.
func (s *Server) AuthToken() string { return s.opts.AuthToken }

// Texts gives every text that the network took, in order, with its present state.
func (s *Server) Texts() []Message {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	out := make([]Message, len(s.store.all))
	for i, m := range s.store.all {
		out[i] = m.snapshot()
	}
	return out
}

// WaitTaken returns when the network has taken n texts in all, or with ctx's error.
func (s *Server) WaitTaken(ctx context.Context, n int) error {
	return s.store.wait(ctx, func(taken int, _ map[Status]int) bool { return taken >= n })
}

// WaitFinal returns when n texts have come to their end, or with ctx's error.
func (s *Server) WaitFinal(ctx context.Context, n int) error {
	return s.store.wait(ctx, func(_ int, c map[Status]int) bool { return c[Delivered]+c[Undelivered]+c[Failed] >= n })
}

// SetFaults replaces the fault rules. An error (ErrRule) names the rule that is wrong, and changes nothing.
func (s *Server) SetFaults(rules ...Rule) error { return s.faults.set(rules) }

// Faults gives the rules and what each did.
func (s *Server) Faults() []RuleState { return s.faults.states() }

// Violations gives the requests that carried what must never be sent to Twilio.
func (s *Server) Violations() []Violation { return s.viols.list() }

// Close ends requests that hang and callbacks that wait, and closes the log. It may be called more than once.
// Do it before http.Server.Shutdown, which would otherwise wait for hanging requests and for pages that follow the network.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		s.cancel()
		s.carrier.close()
		err = errors.Join(s.journal.close(), s.states.close())
		if s.lock != nil {
			err = errors.Join(err, s.lock.Unlock())
		}
	})
	return err
}
