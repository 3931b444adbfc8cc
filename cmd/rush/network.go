package rush

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"ansim/notifier/sandbox"
)

// network is the phone network's process, which is never harmed, as seen from outside.
type network struct {
	process *process
	url     string
	dir     string
}

func (st *stage) openNetwork(ctx context.Context) (err error) {
	n := &network{dir: filepath.Join(st.dir, "network")}
	if n.process, err = launch(st.binary, st.dir, "network", nil, "sandbox", "--addr", "127.0.0.1:0", "--data", n.dir); err != nil {
		return err
	}
	st.network = n
	if n.url, err = n.process.says(ctx, "The phones: "); err != nil {
		return err
	}
	n.url = n.url[:len(n.url)-1] // without its last slash
	return nil
}

// settings lead the service to this network.
func (n *network) settings() []string {
	return []string{"TWILIO_ACCOUNT_SID=" + sandbox.DefaultAccountSID, "TWILIO_AUTH_TOKEN=" + sandbox.DefaultAuthToken,
		"ANSIM_TWILIO_FROM=" + sandbox.DefaultFrom, "ANSIM_TWILIO_BASE_URL=" + n.url}
}

// stats are the network's figures of this moment.
func (n *network) stats(ctx context.Context) (s sandbox.Stats, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/sandbox/stats", nil)
	if err != nil {
		return s, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// spoil sets the network's fault rules; none makes it whole again.
func (n *network) spoil(ctx context.Context, rules ...sandbox.Rule) error {
	if rules == nil {
		rules = []sandbox.Rule{}
	}
	b, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, n.url+"/sandbox/faults", bytes.NewReader(b))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the phone network does not take the faults: status %d", res.StatusCode)
	}
	return nil
}

// log is the file with a line for each text that the network took.
func (n *network) log() string { return filepath.Join(n.dir, "texts.ndjson") }

// text is a line of it.
type text struct {
	Body string    `json:"body"`
	At   time.Time `json:"at"`
}

// code is the reservation's in its text, as the API writes it.
var code = regexp.MustCompile(`[0-9A-Z]{5}-[0-9A-Z]{5}`)

// texts calls each with every text that the network took, in order.
func (n *network) texts(each func(text)) error {
	file, err := os.Open(n.log())
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var t text
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return fmt.Errorf("read the phone network's log: %w", err)
		}
		each(t)
	}
	return lines.Err()
}
