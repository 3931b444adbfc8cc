package kafka_test

import (
	"errors"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ansim/outbox"
	"ansim/schema/event"
)

// TestAllReplicasAnswer: the relay moves on only behind what all replicas have, and hears when they have not.
func TestAllReplicasAnswer(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, event.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var mu sync.Mutex
	var acks []int16
	few := false
	cluster.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		acks = append(acks, produce.Acks)
		if !few {
			return nil, nil, false
		}
		resp := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, int16(kafkago.NotEnoughReplicasAfterAppend)
				answer.Partitions = append(answer.Partitions, p)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	p := publisher(t, cluster.ListenAddrs()[0])
	if err := p.Publish(within(t, patience), story(1, 3)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	few = true
	mu.Unlock()
	if err := p.Publish(within(t, patience), story(1, 1)); !errors.Is(err, outbox.ErrNotPublished) {
		t.Errorf("too few replicas have it: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, a := range acks {
		if a != -1 {
			t.Fatalf("a request wants %d replicas to have it, not all (-1)", a)
		}
	}
	if len(acks) < 2 {
		t.Errorf("%d requests", len(acks))
	}
}
