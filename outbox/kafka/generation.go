package kafka

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/schema/event"
)

// generation is one assignment of partitions to this consumer. It is guarded by Consumer.mu.
type generation struct {
	id         int32
	member     string
	topicID    string
	partitions map[int]*progress
}

// progress is what was fetched of a partition and not yet committed.
type progress struct {
	open []int64        // offsets in the order of the log; not always without gaps
	done map[int64]bool // of open, dealt with while an earlier one is not
}

func newGeneration(gen *kafkago.Generation, topicID string) *generation {
	g := &generation{id: gen.ID, member: gen.MemberID, topicID: topicID, partitions: map[int]*progress{}}
	for _, a := range gen.Assignments[event.Topic] {
		g.partitions[a.ID] = &progress{done: map[int64]bool{}}
	}
	return g
}

func (g *generation) delivered(r Record) {
	p := g.partitions[r.Partition]
	p.open = append(p.open, r.Offset)
}

// finish marks records as dealt with and returns the offsets that may be committed because of it.
func (g *generation) finish(records []Record) []kafkago.OffsetCommit {
	touched := map[int]bool{}
	for _, r := range records {
		if r.from == g {
			g.partitions[r.Partition].done[r.Offset] = true
			touched[r.Partition] = true
		}
	}
	var offsets []kafkago.OffsetCommit
	for partition := range touched {
		if next, ok := g.partitions[partition].advance(); ok {
			offsets = append(offsets, kafkago.OffsetCommit{Partition: partition, Offset: next, Metadata: g.topicID})
		}
	}
	return offsets
}

// advance drops what is done from the front and returns the offset behind it.
func (p *progress) advance() (next int64, moved bool) {
	n := 0
	for n < len(p.open) && p.done[p.open[n]] {
		delete(p.done, p.open[n])
		n++
	}
	if n == 0 {
		return 0, false
	}
	next = p.open[n-1] + 1
	p.open = append(p.open[:0], p.open[n:]...)
	return next, true
}

// consume reads the partitions of gen until it ends. Returning ends gen.
func (c *Consumer) consume(ctx, genCtx context.Context, gen *kafkago.Generation, topicID string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(genCtx, cancel)()

	start, err := c.startOffsets(ctx, gen, topicID)
	if err != nil {
		c.health.note(ctx, err)
		pause(ctx, joinBackoff)
		return
	}
	g := newGeneration(gen, topicID)
	c.setCurrent(g)
	defer c.setCurrent(nil)
	c.health.note(ctx, nil)
	c.opts.Log.DebugContext(ctx, "partitions assigned", "generation", gen.ID, "partitions", len(start))

	var all []*place
	for partition, offset := range start {
		all = append(all, &place{partition, offset})
	}
	if len(all) > 0 {
		c.read(ctx, g, all)
	}
	<-ctx.Done()
}

// startOffsets finds out where to begin: behind what was committed, if that was an offset of this very topic.
func (c *Consumer) startOffsets(ctx context.Context, gen *kafkago.Generation, topicID string) (map[int]int64, error) {
	assigned := gen.Assignments[event.Topic]
	start := make(map[int]int64, len(assigned))
	if len(assigned) == 0 {
		return start, nil
	}
	ids := make([]int, len(assigned))
	for i, a := range assigned {
		ids[i] = a.ID
	}
	res, err := c.client.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{
		GroupID: gen.GroupID, Topics: map[string][]int{event.Topic: ids},
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("fetch committed offsets: %w", err)
	}
	stale := 0
	for _, p := range res.Topics[event.Topic] {
		switch {
		case p.Error != nil:
			return nil, fmt.Errorf("fetch committed offset of partition %d: %w", p.Partition, p.Error)
		case committedTo(topicID, p):
			start[p.Partition] = p.CommittedOffset
		default:
			start[p.Partition] = kafkago.FirstOffset
			if p.CommittedOffset >= 0 {
				stale++
			}
		}
	}
	if len(start) != len(assigned) {
		return nil, fmt.Errorf("fetch committed offsets: %d of %d partitions answered", len(start), len(assigned))
	}
	if stale > 0 {
		c.opts.Log.WarnContext(ctx, "committed offsets are of an earlier topic; reading from the first offset", "partitions", stale)
	}
	return start, nil
}

// committedTo says whether the group has committed an offset of the topic with this id.
func committedTo(topicID string, p kafkago.OffsetFetchPartition) bool {
	return p.CommittedOffset >= 0 && (p.Metadata == "" || p.Metadata == topicID)
}
