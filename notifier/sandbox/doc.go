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
// A text is answered once its line in the log is on the disk. Lines of requests that come together share one fsync, and
// a request that comes alone waits for nobody. How texts ended is kept in a second file without fsync; a text whose end
// is not in it goes its way again after a restart, so its callbacks may come twice, as Twilio's may.
//
// # Callbacks
//
// Each state after "accepted" is told to StatusCallback, signed as Twilio signs. As with Twilio, a callback that was
// answered is over, also when the answer was a 503: only when no connection could be made is it tried again, once. The
// URL's fragment can say otherwise, as Twilio's connection overrides: "#rc=3&rp=5xx,ct,rt" repeats it up to three times
// after a status of 500 or more (5xx), a connection that could not be made (ct), and an answer that did not come whole
// (rt); 4xx and all exist, too. The fragment is neither sent nor signed. All tries together have 15 s. Twilio's other
// overrides have no effect here.
//
// # Magic numbers
//
// Those of Twilio's test credentials, and its own: 010-0003-000N, which is never given out in Korea, ends with 3000N.
//
//	to    +821000030000  taken, then sent for ever
//	to    +821000030001  taken, then failed 30001
//	to    +821000030002  taken, then failed 30002
//	to    +821000030003  taken, then undelivered 30003
//	to    +821000030004  taken, then undelivered 30004
//	to    +821000030005  taken, then undelivered 30005
//	to    +821000030006  taken, then undelivered 30006
//	to    +821000030007  taken, then undelivered 30007
//	to    +821000030008  taken, then undelivered 30008
//	to    +15005550001   refused 400 21211, invalid
//	to    +15005550002   refused 400 21612, no route
//	to    +15005550003   refused 400 21408, no permission for the region
//	to    +15005550004   refused 400 21610, blocked
//	to    +15005550009   refused 400 21614, no mobile number
//	from  +15005550001   refused 400 21212, invalid
//	from  +15005550006   taken, then delivered
//	from  +15005550007   refused 400 21606, not owned
//	from  +15005550008   refused 429 21611, queue full
//
// # Faults
//
// A rule has two axes: does it happen (is the text taken), and what is answered. For example, for every third text,
// ten times, take it and never answer:
//
//	PUT /sandbox/faults
//	[{"match": {"every": 3}, "happen": "yes", "answer": "hang", "count": 10}]
//
// A storm: for five minutes refuse 95 of 100, and show no text in the list for three seconds after it was taken:
//
//	[{"match": {"probability": 0.95}, "answer": "429", "retry_after": 1, "for": "5m"}, {"list_lag": "3s"}]
//
// Rules with "on": "list" and "on": "fetch" spoil reading:
//
//	[{"on": "list", "answer": "503-html", "count": 3}, {"on": "fetch", "answer": "slow", "delay": "1s"}]
//
// To refuse connections as a machine that is down does, close the listener: a rule's "refuse" resets a connection
// that was made, and a client that had begun to write cannot know that nothing was read.
package sandbox
