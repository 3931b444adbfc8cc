// Package sandbox is a phone network on your laptop. It speaks Twilio's Messages API, shows the phones, and fails on
// command. It stands in for someone else's system, so it knows nothing of the notifier and checks what Twilio would.
//
// # API
//
//	POST /2010-04-01/Accounts/{sid}/Messages.json         To, From or MessagingServiceSid, Body, StatusCallback, ValidityPeriod
//	GET  /2010-04-01/Accounts/{sid}/Messages.json         To, From, DateSent, DateSent<, DateSent>, PageSize, PageToken
//	GET  /2010-04-01/Accounts/{sid}/Messages/{sid}.json
//	GET  /                                                the phones
//	GET  /sandbox/log                                     NDJSON, one line for each text that the network took, in order
//	GET  /sandbox/stats                                   figures
//	GET  /sandbox/violations                              requests that carried an Idempotency-Key
//	GET PUT DELETE /sandbox/faults                        the fault rules; see Rule
//
// As with Twilio, a POST that is sent twice makes two texts; the DateSent filter hides what is still queued; lists
// are newest first and paged by token; a text that goes through a messaging service is "accepted" before it is
// "queued". Unlike Twilio, which refuses local addresses, it calls back only addresses of this machine.
//
// # A text's way
//
//	accepted ─▶ queued ─▶ sent ─▶ delivered | undelivered
//	               └────▶ failed
//
// A text is answered once its line in the log is on the disk. Lines of requests that come together share one fsync.
// How texts ended is kept in a second file without fsync; a text whose end is not in it goes its way again after a
// restart, so its callbacks may come twice, as Twilio's may.
//
// # Magic numbers
//
// Those of Twilio's test credentials. To: +15005550001 is refused with 21211 (invalid), …0002 21612 (no route),
// …0003 21408 (no permission for the region), …0004 21610 (blocked), …0009 21614 (no mobile number).
// From: +15005550001 21212 (invalid), …0007 21606 (not owned), …0008 21611 (queue full), …0006 may always send.
//
// Its own, which are taken and then end: 010-0003-0000 (+821000030000) stays sent for ever, 010-0003-0001 fails with 30001;
// 010-0003-0003, -0005, -0007 and -0008 are undelivered with 30003, 30005, 30007 and 30008.
//
// # Faults
//
// A rule has two axes: does it happen (is the text taken), and what is answered. For example, for every third text,
// ten times, take it and never answer:
//
//	PUT /sandbox/faults
//	[{"match": {"every": 3}, "happen": "yes", "answer": "hang", "count": 10}]
//
// To refuse connections as a machine that is down does, close the listener: a rule's "refuse" resets a connection
// that was made, and a client that had begun to write cannot know that nothing was read.
package sandbox
