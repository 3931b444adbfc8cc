// Package rush plays the night of 19 July 2021 again: a gate opens, and everybody comes at once. It starts what the night needs
// as processes of their own (the phone network, the service, the crowd), breaks some of it on purpose, watches, has the outcome
// judged, and writes a report.
//
//	           orders                 books, asks, cancels
//	Run ──────────────────▶ crowd ──────────────────────────▶ serve ──▶ phone network
//	 │ ◀─ progress, history ──┘                                 ▲             │
//	 ├── /metrics, /sandbox/stats, every second ──────────────┘             │
//	 ├── faults: kill, add, what the network is to spoil ─────────────────────┤
//	 └── history × the network's log × the database ─▶ figures ─▶ report ◀────┘
//
// The crowd knows nothing of the service but its HTTP API. Times are compared between processes of one machine, which share its
// clock. Who is in the crowd, when they come, and what they have in mind depends on the seed and their number alone.
package rush
