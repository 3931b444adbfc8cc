// Package notifier turns events into texts, each sent once, and knows what became of it.
//
// The intake writes one [Message] for each recipient of an event; the sender claims messages, commits an [Attempt] and only
// then asks the [Provider]; what the provider answered, called back or lists is evidence that raises the attempt; the
// reconciler looks for texts whose answer was lost; the sweeper makes messages of outbox rows that Kafka lost.
//
// # States of a message
//
//	pending ─begin─▶ sending ─▶ accepted ─▶ sent ─▶ delivered
//	   ▲  ▲             │  │        └─────────┴───▶ undelivered | failed
//	   │  └──not sent───┘  ├─▶ failed      (rejected for good)
//	   │                   └─▶ unknown ─▶ accepted …     (a receipt, or the provider's list shows it)
//	   └──further attempt─────────┘  └──▶ held           (a person decides)
//	pending, unknown ─▶ suppressed   (cancelled, superseded, appointment past), with the reason
//
// # States of an attempt
//
// They only move up, whoever holds the message's lease, so replays and reorders change nothing:
//
//	open < unknown < not_sent < rejected < accepted < sent < failed < undelivered < delivered
//
// A message is delivered if any of its attempts is. Otherwise it has the state of its newest attempt that the provider took,
// or, when it took none, of its newest attempt.
//
// # Leases
//
// A claim (lease_token, due_at = end of the lease) and an attempt are two commits: only a message with a free sender slot
// gets an attempt row, and its request starts at once, so that a kill leaves few unknowns. A claim that runs out without an
// attempt is simply due again. A lease that runs out over an open attempt makes it unknown, never pending. Times of leases
// and due times are the database's. The request's own deadline ends well before its lease.
package notifier
