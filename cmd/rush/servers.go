package rush

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// server is PostgreSQL or a broker of Kafka, which the rush did not start. What it costs is seen from outside, where it runs on this
// machine and the system lets it be looked at.
type server struct {
	name   string
	pid    int // 0: it cannot be looked at
	before time.Duration
}

// unseen is the note about a server that cannot be looked at.
const unseen = "what %s cost is not in the table of costs: it cannot be looked at from here"

// findServers looks for the servers that the rush uses.
func (o Options) findServers() (found []server) {
	if o.embedded() {
		return nil
	}
	port := "5432"
	if u, err := url.Parse(o.DatabaseURL); err == nil && u.Port() != "" {
		port = u.Port()
	}
	found = append(found, findServer("PostgreSQL", "postgres", databaseHost(o.DatabaseURL), port))
	for broker := range strings.SplitSeq(o.Kafka, ",") {
		host, port, _ := net.SplitHostPort(strings.TrimSpace(broker))
		found = append(found, findServer("Kafka", "java", host, port))
	}
	return found
}

func findServer(name, program, host, port string) server {
	s := server{name: name}
	n, err := strconv.Atoi(port)
	if err != nil || !local(host) {
		return s
	}
	if s.pid = listener(program, n); s.pid != 0 {
		s.before, _ = spent(s.pid)
	}
	return s
}

// usage is what the server has cost since it was found; false when that is not known.
func (s server) usage() (usage, bool) {
	if s.pid == 0 {
		return usage{}, false
	}
	cpu, memory := spent(s.pid)
	if cpu < s.before || memory == 0 { // it has ended meanwhile
		return usage{}, false
	}
	return usage{Name: s.name, CPU: cpu - s.before, Memory: memory}, true
}
