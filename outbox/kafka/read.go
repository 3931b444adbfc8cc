package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"ansim/schema/event"
)

// place is where a partition is to be read next.
type place struct {
	partition int
	offset    int64 // or kafkago.FirstOffset
}

// read passes on the records of partitions until ctx ends. Partitions of several brokers are read beside each other, so that
// none waits for another's broker. When reading fails, the leaders are asked for anew, since they may have moved.
func (c *Consumer) read(ctx context.Context, g *generation, places []*place) {
	wait := readBackoff
	for ctx.Err() == nil {
		groups, err := c.byLeader(ctx, places)
		if len(groups) > 1 {
			var wg sync.WaitGroup
			for _, group := range groups {
				wg.Go(func() { c.read(ctx, g, group) })
			}
			wg.Wait()
			return
		}
		for err == nil {
			if err = c.readOnce(ctx, g, places); err == nil {
				c.health.note(ctx, nil)
				wait = readBackoff
			}
		}
		c.health.note(ctx, err)
		pause(ctx, wait)
		wait = min(2*wait, readBackoffMax)
	}
}

// byLeader sorts places by the broker that leads their partitions. Those that have none are together.
func (c *Consumer) byLeader(ctx context.Context, places []*place) (map[int][]*place, error) {
	partitions, err := topicPartitions(ctx, c.client)
	if err != nil {
		return nil, err
	}
	groups := map[int][]*place{}
	for _, p := range places {
		leader := -1
		if p.partition < len(partitions) && partitions[p.partition].Error == nil {
			leader = partitions[p.partition].Leader.ID
		}
		groups[leader] = append(groups[leader], p)
	}
	return groups, nil
}

// readOnce asks for what is behind the places, waits up to maxWait for it, passes it on, and moves the places. Of several
// partitions that have something each comes first once in a while: the broker fills its answer in the order of the request.
func (c *Consumer) readOnce(ctx context.Context, g *generation, places []*place) error {
	if err := c.first(ctx, places); err != nil {
		return err
	}
	topic := fetch.RequestTopic{Topic: event.Topic}
	by := map[int32]*place{}
	for _, p := range places {
		by[int32(p.partition)] = p
		topic.Partitions = append(topic.Partitions, fetch.RequestPartition{Partition: int32(p.partition), CurrentLeaderEpoch: -1,
			FetchOffset: p.offset, LogStartOffset: -1, PartitionMaxBytes: maxPartitionBytes})
	}
	front := places[0]
	copy(places, places[1:])
	places[len(places)-1] = front
	asked, cancel := context.WithTimeout(ctx, maxWait+requestTimeout)
	defer cancel()
	answer, err := c.transport.RoundTrip(asked, c.client.Addr, &fetch.Request{ReplicaID: -1, MaxWaitTime: int32(maxWait / time.Millisecond),
		MinBytes: 1, MaxBytes: maxFetchBytes, SessionID: -1, SessionEpoch: -1, Topics: []fetch.RequestTopic{topic}})
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	res := answer.(*fetch.Response)
	if res.ErrorCode != 0 {
		return fmt.Errorf("read: %w", kafkago.Error(res.ErrorCode))
	}
	var errs []error
	moved, behind := false, false
	for _, t := range res.Topics {
		for _, a := range t.Partitions {
			p := by[a.Partition]
			if p == nil || t.Topic != event.Topic {
				continue
			}
			was := p.offset
			if err := c.pass(ctx, g, p, a); err != nil {
				errs = append(errs, fmt.Errorf("read partition %d: %w", p.partition, err))
			}
			moved = moved || p.offset != was
			behind = behind || a.ErrorCode == 0 && a.HighWatermark > p.offset
		}
	}
	if behind && !moved { // else it would be asked for again at once, for ever
		errs = append(errs, errors.New("read: there are records, but the broker's answer holds none that can be read"))
	}
	return errors.Join(errs...)
}

// first finds out where places begin that are to be read from the first offset that there is.
func (c *Consumer) first(ctx context.Context, places []*place) error {
	by := map[int]*place{}
	var ask []kafkago.OffsetRequest
	for _, p := range places {
		if p.offset == kafkago.FirstOffset {
			by[p.partition] = p
			ask = append(ask, kafkago.FirstOffsetOf(p.partition))
		}
	}
	if len(ask) == 0 {
		return nil
	}
	res, err := c.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{event.Topic: ask}})
	if err != nil {
		return fmt.Errorf("ask for the first offsets: %w", err)
	}
	for _, a := range res.Topics[event.Topic] {
		switch p := by[a.Partition]; {
		case a.Error != nil:
			return fmt.Errorf("ask for the first offset of partition %d: %w", a.Partition, a.Error)
		case p != nil:
			p.offset = a.FirstOffset
			delete(by, a.Partition)
		}
	}
	if len(by) > 0 {
		return fmt.Errorf("ask for the first offsets: %d of %d partitions were not answered", len(by), len(ask))
	}
	return nil
}

// pass passes on what a broker answered of one partition, and moves its place behind that.
func (c *Consumer) pass(ctx context.Context, g *generation, p *place, answer fetch.ResponsePartition) error {
	switch err := kafkago.Error(answer.ErrorCode); {
	case err == kafkago.OffsetOutOfRange:
		// The log is shorter than what was read of it: a broker lost its end. What is there now may be new.
		c.opts.Log.WarnContext(ctx, "offset is out of range; reading from the first offset", "partition", p.partition, "offset", p.offset)
		p.offset = kafkago.FirstOffset
		return nil
	case err != 0:
		return err
	}
	stream, ok := answer.RecordSet.Records.(*protocol.RecordStream)
	if !ok {
		return nil // nothing new
	}
	for _, batch := range stream.Records {
		_, control := batch.(*protocol.ControlBatch) // marks of a transaction; ours has none, a tool's may
		for {
			r, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			rec, err := newRecord(r, p.partition, g)
			if err != nil {
				return err
			}
			if r.Offset < p.offset { // a batch comes as a whole
				continue
			}
			if !control {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case c.records <- rec:
				}
			}
			p.offset = r.Offset + 1
		}
	}
	return nil
}

// newRecord copies a record out of the answer's memory, which is given back.
func newRecord(r *protocol.Record, partition int, g *generation) (Record, error) {
	if r.Key != nil {
		defer r.Key.Close()
	}
	if r.Value != nil {
		defer r.Value.Close()
	}
	body, err := protocol.ReadAll(r.Value)
	if err != nil {
		return Record{}, err
	}
	rec := Record{Topic: event.Topic, Partition: partition, Offset: r.Offset, Body: body, Headers: make([]event.Header, len(r.Headers)), from: g}
	for i, h := range r.Headers {
		rec.Headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return rec, nil
}
