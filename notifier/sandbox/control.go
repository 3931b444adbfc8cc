package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	const messages = "/" + apiVersion + "/Accounts/{account}/Messages"
	mux.HandleFunc("POST "+messages+".json", s.api(s.create))
	mux.HandleFunc("GET "+messages+".json", s.api(s.list))
	mux.HandleFunc("GET "+messages+"/{sid}", s.api(s.fetch))
	mux.HandleFunc("/"+apiVersion+"/", func(w http.ResponseWriter, r *http.Request) { writeError(w, refusal(20404, r.URL.Path)) })
	mux.HandleFunc("GET /sandbox/log", s.serveLog)
	mux.HandleFunc("GET /sandbox/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("GET /sandbox/violations", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"count": s.viols.count(), "violations": s.viols.list()})
	})
	mux.HandleFunc("GET /sandbox/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Faults()) })
	mux.HandleFunc("PUT /sandbox/faults", s.putFaults)
	mux.HandleFunc("DELETE /sandbox/faults", func(w http.ResponseWriter, _ *http.Request) {
		_ = s.SetFaults() // no rules are never wrong
		w.WriteHeader(http.StatusNoContent)
	})
	s.pageRoutes(mux)
	return mux
}

// serveLog streams the log in order, as it was when the request came.
func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	const chunk = 1000
	for skip := 0; r.Context().Err() == nil; skip += chunk {
		entries := s.store.entries(skip, chunk)
		for _, e := range entries {
			if enc.Encode(e) != nil {
				return // the client has gone
			}
		}
		if len(entries) < chunk {
			break
		}
	}
	_ = out.Flush()
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request) {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	var rules []Rule
	err := dec.Decode(&rules)
	if err != nil {
		err = fmt.Errorf("%w: the body must be a JSON list of rules: %w", ErrRule, err)
	} else {
		err = s.SetFaults(rules...)
	}
	switch {
	case errors.Is(err, ErrRule):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	default:
		writeJSON(w, http.StatusOK, s.Faults())
	}
}

// Stats are the network's figures.
type Stats struct {
	Taken           int            `json:"taken"`
	Phones          int            `json:"phones"`
	States          map[Status]int `json:"states"`
	SameTwice       int            `json:"same_twice"` // texts whose words the same number had got before
	CallbacksTaken  int            `json:"callbacks_taken"`
	CallbacksFailed int            `json:"callbacks_failed"` // given up
	Faults          int            `json:"faults"`           // requests that a rule decided, cleared rules included
	Violations      int            `json:"violations"`
}

// Stats gives the network's figures of this moment; those of callbacks, faults and violations count from its start.
func (s *Server) Stats() Stats {
	st := Stats{States: map[Status]int{}, Violations: s.viols.count()}
	st.CallbacksTaken, st.CallbacksFailed = s.carrier.counts()
	s.faults.mu.Lock()
	st.Faults = s.faults.fired
	s.faults.mu.Unlock()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	st.Taken, st.Phones, st.SameTwice = len(s.store.all), len(s.store.phones), s.store.doubles
	for status, n := range s.store.counts {
		st.States[status] = n
	}
	return st
}
