// Package kafka carries outbox events to a Kafka topic and back: a [Publisher] for the relay and a [Consumer] for the
// notifier's intake, both on kafka-go, and the topic itself.
//
// Kafka is never the only copy of anything here. An event that the topic loses stands in the outbox still, and whoever
// sweeps finds it there; so every rule of this package leans towards "again" rather than "never": records may come twice,
// and a doubt about an offset is settled by reading from the first one.
//
// # Order
//
// The key of a record is its reservation id, the partition follows from the key alone (Murmur2, as Java's
// producer does it), and one partition is written by one request at a time. So the events of one reservation stand in the
// topic in the order in which they were published, seen by their first copies. Adding partitions to the topic moves keys,
// and breaks that order for what is under way; the topic is made with twelve, which is enough for twelve intakes.
//
// # Brokers
//
// Apache Kafka 2.8 or later is needed (topics have ids since then; see [Consumer] for what they are good for), and 4.x is
// what is tested. [Cluster] says how they are reached: in the clear or with TLS, as nobody or logged in.
package kafka

import "time"

const (
	clientID = "ansim"
	// dialTimeout is for one broker, its login included. Whatever tries several brokers has time for another after one that
	// stands still.
	dialTimeout = 3 * time.Second
	// metadataTTL bounds how long a moved leader or a topic made elsewhere goes unnoticed.
	metadataTTL = 2 * time.Second
	// requestTimeout is for one request and its answer. kafka-go tells the broker half of it, so that the broker gives up first.
	requestTimeout = 10 * time.Second
)
