package kafka_test

import (
	"fmt"
	"testing"

	kafkatest "ansim/test/kafka"
)

// BenchmarkPublish publishes flushes of several sizes, one after the other, as the relay does.
func BenchmarkPublish(b *testing.B) {
	brokers := map[string]func(testing.TB) string{
		"apache":   func(t testing.TB) string { return kafkatest.Start(t).Addr() },
		"embedded": kafkatest.Embedded,
	}
	for _, name := range []string{"apache", "embedded"} {
		b.Run(name, func(b *testing.B) {
			addr := brokers[name](b)
			ensure(b, addr)
			for _, flush := range []int{1, 50, 500, 5000, 20_000} {
				b.Run(fmt.Sprint(flush), func(b *testing.B) {
					p, events := publisher(b, addr), story(max(1, flush/3), flush)
					publishUntil(b, p, events)
					b.ReportAllocs()
					for b.Loop() {
						publish(b, p, events)
					}
					b.ReportMetric(float64(b.N*flush)/b.Elapsed().Seconds(), "events/s")
				})
			}
		})
	}
}

// BenchmarkConsume fetches and commits batches of 500.
func BenchmarkConsume(b *testing.B) {
	addr := kafkatest.Start(b).Addr()
	ensure(b, addr)
	p, c, events := publisher(b, addr), consumer(b, addr), story(7000, 20_000)
	for b.Loop() {
		b.StopTimer()
		for range 5 {
			publishUntil(b, p, events)
		}
		b.StartTimer()
		for n := 0; n < 5*len(events); {
			records, err := c.Fetch(b.Context(), 500)
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Commit(b.Context(), records); err != nil {
				b.Fatal(err)
			}
			n += len(records)
		}
	}
	b.ReportMetric(float64(b.N*5*len(events))/b.Elapsed().Seconds(), "events/s")
}
