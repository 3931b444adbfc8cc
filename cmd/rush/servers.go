package rush

import (
	"net"
	"strconv"
	"strings"
	"time"

	"ansim/schema/sqldb"
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
	if servers, err := sqldb.Servers(o.DatabaseURL); err == nil { // the others are asked when the first is away
		found = append(found, findServer("PostgreSQL", "postgres", servers[0].Host, int(servers[0].Port)))
	}
	for broker := range strings.SplitSeq(o.Kafka, ",") {
		host, port, _ := net.SplitHostPort(strings.TrimSpace(broker))
		n, _ := strconv.Atoi(port)
		found = append(found, findServer("Kafka", "java", host, n))
	}
	return found
}

func findServer(name, program, host string, port int) server {
	s := server{name: name}
	if port == 0 || !local(host) {
		return s
	}
	if s.pid = listener(program, port); s.pid != 0 {
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

// local says whether a host is this machine: loopback, or the folder of a socket. A broker's may be left out.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || ip != nil && ip.IsLoopback()
}

// brokerHosts are the hosts in a list of brokers; what is none is "?".
func brokerHosts(list string) (hosts []string) {
	for b := range strings.SplitSeq(list, ",") {
		host, _, err := net.SplitHostPort(strings.TrimSpace(b))
		if err != nil {
			host = "?"
		}
		hosts = append(hosts, host)
	}
	return hosts
}
