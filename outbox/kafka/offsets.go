package kafka

import (
	"context"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/schema/event"
)

// Offsets is where a partition of the topic stands.
type Offsets struct {
	First, End int64 // of the oldest record that is kept, and behind the newest
	// Next is the record that a group reads next: behind what it has committed, or First when it has committed nothing of this
	// very topic.
	Next int64
}

// Lag is how many records the group has yet to deal with.
func (o Offsets) Lag() int64 { return o.End - o.Next }

// ReadOffsets asks the brokers where each partition of [event.Topic] stands, for group; "" is [DefaultGroup]. The brokers
// are asked rather than a reader, whose own count stands still together with the reader. Its error wraps ErrNoTopic when
// there is no topic.
func ReadOffsets(ctx context.Context, c Cluster, group string) (map[int]Offsets, error) {
	if group == "" {
		group = DefaultGroup
	}
	is, err := c.describeTopic(ctx)
	if err != nil {
		return nil, err
	}
	t := c.newTransport()
	defer t.CloseIdleConnections()
	client := c.newClient(t)

	ids := make([]int, is.partitions)
	var asked []kafkago.OffsetRequest
	for p := range ids {
		ids[p] = p
		asked = append(asked, kafkago.FirstOffsetOf(p), kafkago.LastOffsetOf(p))
	}
	kept, err := client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{event.Topic: asked}})
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	done, err := client.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{event.Topic: ids}})
	if err == nil && !errors.Is(done.Error, kafkago.GroupIdNotFound) { // a group that was never there has committed nothing
		err = done.Error
	}
	if err != nil {
		return nil, fmt.Errorf("fetch committed offsets: %w", err)
	}
	out := make(map[int]Offsets, is.partitions)
	for _, p := range kept.Topics[event.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("list offsets of partition %d: %w", p.Partition, p.Error)
		}
		out[p.Partition] = Offsets{First: p.FirstOffset, End: p.LastOffset, Next: p.FirstOffset}
	}
	for _, p := range done.Topics[event.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("fetch committed offset of partition %d: %w", p.Partition, p.Error)
		}
		o, known := out[p.Partition]
		if known && committedTo(is.id, p) && p.CommittedOffset <= o.End {
			o.Next = max(o.First, p.CommittedOffset) // retention may have passed it
			out[p.Partition] = o
		}
	}
	return out, nil
}
