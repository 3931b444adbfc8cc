// Package sabotage is what a test build of ansim lets be done to it on purpose: to die at a named point, to have a wrong
// clock, to go without the sweeper. Only a build with the tag "sabotage" listens, to these variables:
//
//	ANSIM_CRASH_AT   relay.after_produce:3,…   the process kills itself with SIGKILL when it passes the point for the third time
//	ANSIM_CLOCK      +10m                      the process's clock is ahead by ten minutes
//	ANSIM_SWEEPER    off                       nothing heals what Kafka lost
//
// In every other build the functions are empty, and the compiler leaves nothing of them.
//
// Points have names of two kinds. Those between the systems are named where they are passed. Those around the statements of
// a transaction are made from the statement: before.insert.reservation and after.insert.reservation, and around its COMMIT
// before.commit.outbox and after.commit.outbox, by the table that was written last.
package sabotage
