package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrLog is wrapped when the sandbox's log is not what it should be; the message names the line and quotes nothing of it.
var ErrLog = errors.New("unreadable log of the phone network")

// entry is what we read of a line: a text that the network took.
type entry struct {
	SID   string    `json:"sid"`
	To    string    `json:"to"`
	Body  string    `json:"body"`
	Token string    `json:"token"` // of the attempt, from its callback's URL
	At    time.Time `json:"at"`
}

// longestLine bounds a line of the log: a text has 1,600 characters at most.
const longestLine = 1 << 20

// readLog reads the sandbox's log. Its last line may be half written when the network runs: what does not end is left out.
func readLog(src io.Reader) (account, error) {
	a := account{name: "log", who: "the phone network", texts: newSorter(), key: newHasher()}
	lines := bufio.NewReaderSize(src, longestLine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return a, nil
		case err != nil: // also bufio.ErrBufferFull
			return a, fmt.Errorf("%w: line %d: %w", ErrLog, n, err)
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil || e.SID == "" {
			return a, fmt.Errorf("%w: line %d", ErrLog, n)
		}
		if err := a.texts.add(a.key.taken(e.SID, e.Token, e.To, e.Body, e.At)); err != nil {
			return a, err
		}
	}
}
