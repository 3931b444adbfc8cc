package kafka_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
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
		return refusal(produce, kafkago.NotEnoughReplicasAfterAppend), nil, true
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

// TestAPartOfWhatIsPublishedIsRefused: while one partition takes the first piece of what it is to get and then nothing more, the
// others have all of theirs, of that one nothing is stored behind what was refused, and whoever published hears of it. Once all is
// published again, no reservation's events have changed their order.
func TestAPartOfWhatIsPublishedIsRefused(t *testing.T) {
	t.Parallel()
	const partitions, piece = 3, 500
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, event.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	addr := cluster.ListenAddrs()[0]
	p, events := publisher(t, addr), story(30, 30*200)
	due := make([]int, partitions) // events of each partition
	for _, e := range events {
		due[kafkago.Murmur2Balancer{}.Balance(kafkago.Message{Key: []byte(e.ReservationID)}, 0, 1, 2)]++
	}
	most := slices.Max(due) // more than two pieces, so that there is something behind the one that is refused
	broken := slices.Index(due, most)
	var mu sync.Mutex
	asked, heal := 0, false
	behind := client(t, addr)
	cluster.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		all := produce.Topics[0].Partitions
		isBroken := func(p kmsg.ProduceRequestTopicPartition) bool { return p.Partition == int32(broken) }
		mu.Lock()
		if slices.ContainsFunc(all, isBroken) {
			asked++
		}
		refuse := !heal && asked > 1
		mu.Unlock()
		if !refuse || !slices.ContainsFunc(all, isBroken) {
			return nil, nil, false
		}
		// What the request has for the other partitions is stored, as a broker does it: each partition by itself.
		res := refusal(produce, kafkago.NotLeaderForPartition).(*kmsg.ProduceResponse)
		cluster.SleepControl(func() {
			for i, partition := range all {
				if isBroken(partition) {
					continue
				}
				sized := append(binary.BigEndian.AppendUint32(nil, uint32(len(partition.Records))), partition.Records...)
				stored, err := behind.RawProduce(within(t, patience), &kafkago.RawProduceRequest{Topic: event.Topic, Partition: int(partition.Partition),
					RequiredAcks: kafkago.RequireAll, RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(sized)}})
				if err != nil || stored.Error != nil {
					t.Errorf("the other partitions cannot be stored: %v, %+v", err, stored)
				}
				res.Topics[0].Partitions[i].ErrorCode = 0
			}
		})
		return res, nil, true
	})
	if err := p.Publish(within(t, patience), events); !errors.Is(err, outbox.ErrNotPublished) || !errors.Is(err, kafkago.NotLeaderForPartition) {
		t.Errorf("a partition refused a part: %v", err)
	}
	due[broken] = piece
	ends, err := client(t, addr).ListOffsets(within(t, patience), &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{
		event.Topic: {kafkago.LastOffsetOf(0), kafkago.LastOffsetOf(1), kafkago.LastOffsetOf(2)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range ends.Topics[event.Topic] {
		if int(o.LastOffset) != due[o.Partition] {
			t.Errorf("partition %d holds %d events, want %d", o.Partition, o.LastOffset, due[o.Partition])
		}
	}
	mu.Lock()
	heal = true
	mu.Unlock()
	publish(t, p, events)
	newReading().read(t, consumer(t, addr), events)
}

// TestAPartitionIsNotAnswered: a broker that says nothing of a partition has not stored its events, as far as anybody knows.
func TestAPartitionIsNotAnswered(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, event.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		topic := &req.(*kmsg.ProduceRequest).Topics[0]
		topic.Partitions = slices.DeleteFunc(topic.Partitions, func(p kmsg.ProduceRequestTopicPartition) bool { return p.Partition == 1 })
		return nil, nil, false
	})
	if err := publisher(t, cluster.ListenAddrs()[0]).Publish(within(t, patience), story(30, 300)); !errors.Is(err, outbox.ErrNotPublished) {
		t.Errorf("a partition was not answered: %v", err)
	}
}

// TestSeveralBrokers: partitions that three brokers lead, while they change from one to another again and again.
func TestSeveralBrokers(t *testing.T) {
	t.Parallel()
	const partitions, brokers = 12, 3
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(partitions, event.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	addr := cluster.ListenAddrs()[0]
	p, c, r := publisher(t, addr), consumer(t, addr), newReading()
	events := story(60, 3000)
	for round, some := range slices.Collect(slices.Chunk(events, 500)) {
		for partition := range int32(partitions) {
			if err := cluster.MoveTopicPartition(event.Topic, partition, (partition+int32(round))%brokers); err != nil {
				t.Fatal(err)
			}
		}
		publishUntil(t, p, some)
		r.read(t, c, some)
	}
}

// refusal answers a produce request with the same error for all of it.
func refusal(produce *kmsg.ProduceRequest, code kafkago.Error) kmsg.Response {
	resp := produce.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range produce.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, int16(code)
			answer.Partitions = append(answer.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}
