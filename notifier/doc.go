// Package notifier turns events into texts, each sent once, and knows what became of it.
//
// The intake writes one [Message] for each recipient of an event; the sender begins an [Attempt] for what is due, commits it,
// and only then asks the [Provider]; what the provider answered, called back or lists is evidence that raises the attempt; the
// reconciler looks for texts whose answer was lost and asks for receipts that did not come; the sweeper makes messages of
// outbox rows that Kafka lost.
//
// # States of a message
//
//	pending ─begin─▶ sending ─▶ accepted ─▶ sent ─▶ delivered
//	   ▲  ▲             │  │        └─────────┴───▶ undelivered ─begin─▶ sending      (at most three further times)
//	   │  └──not sent───┘  │                             └─────────────▶ failed      (or at once, when it cannot help)
//	   │                   ├─▶ failed      (rejected for good)
//	   │                   └─▶ unknown ─▶ accepted …     (a receipt, or the provider's list shows it)
//	   └──further attempt─────────┘  └──▶ held           (a person decides)
//	pending, undelivered, unknown ─▶ suppressed   (cancelled, superseded, sent again, appointment past), with the reason
//
// # Jobs
//
// What is due for a message, and when, is its one row in the queue; what is finished has none. The state says which:
//
//	pending, undelivered   send     an attempt may begin; classes of priority share the sender by weights
//	sending                answer   the lease of the open attempt ends: it becomes unknown, never pending
//	unknown                look     the provider's list is read, after 5, 15, 60 and 180 s; then a further attempt, or held
//	accepted, sent         poll     the text is asked for after 5, 15 and 60 min, and after 72 h: then it says "unconfirmed"
//	held, failed           person   somebody has to decide: redrive it, or see that nothing can be done
//	delivered, suppressed  none     but one poll when another attempt may have arrived as well: a second copy is counted
//
// # States of an attempt
//
// They only move up, whoever asks, so replays and reorders change nothing:
//
//	open < unknown < not_sent < rejected < accepted < sent < failed < undelivered < delivered
//
// A message is delivered if any of its attempts is. Otherwise it has the state of its newest attempt that may still arrive;
// or, when none may, of its newest attempt. No attempt begins while another may still arrive, and after one of unknown
// outcome only when the list has been read to its end within the last ten seconds.
//
// # Leases
//
// Picking a message and committing its attempt are one transaction, and there is one for each free slot of the sender, whose
// requests start at once: a kill leaves few unknowns, and holds up nothing else. Times of leases and due times are the
// database's. The request's own deadline ends well before its lease. Every change of a message, its attempts and its row in
// the queue is made under the message's lock.
//
// # Frozen
//
// One row says whether attempts may begin at all:
//
//	running ─Freeze, another history of the database, an event whose change is not there─▶ frozen ─Resumption─▶ running
//
// It is read, and kept from changing, in each transaction that begins attempts. While frozen everything else goes on. A
// Resumption first takes what the provider's list shows of the texts that wait as their attempts: a database that was put back
// has forgotten them.
package notifier
