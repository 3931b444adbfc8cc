// Package booking books a place for a person, once.
//
// A [Service] has one durable writer: the requests that arrived while the last commit was under way are decided together in
// the next transaction, in the order in which they came, and committed with their idempotency rows and their outbox rows.
// A batch of one is the same code. What one request is refused never touches its neighbours.
//
// # One batch
//
//	stored idempotency keys ▸ answer what was answered before
//	lock slots, by id       ▸ lock the people's reservations, by identity hash ▸ read the clock, the programmes
//	decide in Go, in order of arrival: repeat of the same? ▸ window ▸ rule ▸ already booked? ▸ place left?
//	texts asked for again?  ▸ read the earlier resends and, through [TextLook], how the texts stand
//	change, and keep what was ▸ insert ▸ raise `taken` by what was inserted ▸ resends ▸ idempotency rows, by key ▸ outbox
//
// Rows are locked in this one order in every process. Nothing is counted first and inserted later: a reservation is there
// when the unique index took it, and a place when the slot's CHECK allowed it. When another process was faster, the whole
// batch is undone and decided again on what that process left.
//
// The same order holds for idempotency rows. They are inserted towards the end, not reserved at the start: the unique index
// makes the second of two processes wait for the first one's commit, and the second then decides again, finds the row,
// and replays it. So a key costs one insert and no "running" row exists that a crash could leave behind.
//
// # Texts once more
//
// A resend ([Service.Resend], and [Resend] for the command line and redrives) is one more event of a reservation's present
// version, with a number of its own from 1: its texts are others than the first, so sending them breaks no promise. It is
// refused within [ResendCoolDown], while the last text is on its way, while it is not known whether that one was sent (unless
// the second copy is risked on purpose), and from the appointment on.
//
// # What is stored for a replay
//
// Of an answer only what the request itself does not say: ids, version, state, times. Names and numbers of a booking are in
// the request that is repeated (its fingerprint is the same), those of a change or a resend in the version of the reservation
// that it was about, which is kept. So no second copy of a person's data is kept with the keys, and a replay still has every
// byte of the first answer.
//
// # Changes
//
// A reservation is confirmed in version 1. Each change of its slot or of the resident's contact, and the cancellation, makes
// the next version, and each version has its event and its texts; the version before is kept (reservation_history), so that
// what a text said, and where it went, can be told later. A move passes the gate as a booking does.
//
//	(none) ── Book ──▶ confirmed ── Cancel ──▶ cancelled
//	                    │     ▲
//	                    └─────┘ Reschedule, Correct
//
// # Who may see what
//
// An API key sees its own reservations. That somebody is booked already through another key is told as [ErrAlreadyBooked]
// and nothing else. An identity is stored as a keyed hash alone.
package booking
