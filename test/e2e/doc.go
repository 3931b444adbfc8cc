// Package e2e tests ansim as its people meet it: the built binary, real processes, real HTTP, and in the end three accounts
// that know nothing of each other: what the clients were told, what the phone network's log holds, and what `ansim check`
// says of the database.
//
// The binary is built once for a test process, with the race detector when the tests run with it. Each test has an
// installation of its own: a phone network, a database, a broker, and a front, the stable address behind which serving
// processes come and go. Whatever a test starts ends with it, also when the test process is killed.
package e2e
