package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ansim/schema/event"
)

const (
	// partitions of the topic unless told: twelve divides evenly among 2, 3, 4, 6 and 12 consumers.
	defaultPartitions = 12
	maxReplication    = 3
	// pollTopic is the time between two looks at a topic that was just made.
	pollTopic = 50 * time.Millisecond
)

// ErrNoTopic is returned when the cluster answers and does not have the topic.
var ErrNoTopic = errors.New("topic does not exist")

// TopicOptions says how EnsureTopics makes the topic when it is missing. The zero value is good.
type TopicOptions struct {
	Partitions        int // default 12
	ReplicationFactor int // default 3, or the number of brokers when that is less
}

// EnsureTopics makes [event.Topic] when it is missing and returns once each of its partitions has a leader. A topic that
// exists is left as it is. It tries once: the caller decides how long a broker may be away.
func EnsureTopics(ctx context.Context, c Cluster, opts TopicOptions) error {
	if len(c.Brokers) == 0 {
		return fmt.Errorf("ensure topics: %w", ErrNoBrokers)
	}
	t := c.newTransport()
	defer t.CloseIdleConnections()
	return c.ensureTopic(ctx, c.newClient(t), opts)
}

func (c Cluster) ensureTopic(ctx context.Context, client *kafkago.Client, opts TopicOptions) error {
	is, err := c.describeTopic(ctx)
	if errors.Is(err, ErrNoTopic) {
		if err := createTopic(ctx, client, is, opts); err != nil {
			return err
		}
		is, err = c.describeTopic(ctx)
	}
	for (err == nil && !is.led) || errors.Is(err, ErrNoTopic) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for leaders of %s: %w", event.Topic, ctx.Err())
		case <-time.After(pollTopic):
			is, err = c.describeTopic(ctx)
		}
	}
	return err
}

func createTopic(ctx context.Context, client *kafkago.Client, is topicState, opts TopicOptions) error {
	if opts.Partitions == 0 {
		opts.Partitions = defaultPartitions
	}
	if opts.ReplicationFactor == 0 {
		opts.ReplicationFactor = max(1, min(maxReplication, is.brokers))
	}
	res, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: event.Topic, NumPartitions: opts.Partitions, ReplicationFactor: opts.ReplicationFactor,
		ConfigEntries: []kafkago.ConfigEntry{
			// Said explicitly, since the embedded broker deletes nothing from a topic that does not say.
			{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(event.Kept.Milliseconds(), 10)},
		},
	}}})
	if err == nil {
		err = res.Errors[event.Topic]
	}
	// Several processes start at once, and one of them is first.
	if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", event.Topic, err)
	}
	return nil
}

// ClusterID is the id that the cluster has given itself.
func ClusterID(ctx context.Context, c Cluster) (string, error) {
	is, err := c.describeTopic(ctx)
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return "", fmt.Errorf("cluster id: %w", err)
	}
	return is.cluster, nil
}

// topicState is what the cluster says of event.Topic now.
type topicState struct {
	cluster    string
	brokers    int    // that are up
	id         string // a topic that is deleted and made again has another
	partitions int
	led        bool // every partition has a leader
}

// describeTopic asks the first broker that answers. With ErrNoTopic, cluster and brokers are filled in nevertheless.
//
// kafka-go speaks Metadata up to version 8, and topic ids came with version 10; hence the request by hand. It is also
// never an answer out of a cache, which kafka-go's would be.
func (c Cluster) describeTopic(ctx context.Context) (topicState, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	until, _ := ctx.Deadline()
	err := fmt.Errorf("describe topic: %w", ErrNoBrokers)
	for i, b := range c.Brokers {
		// One that stands still takes no more than its share of the time.
		share, cancel := context.WithTimeout(ctx, time.Until(until)/time.Duration(len(c.Brokers)-i))
		var is topicState
		is, err = c.describeTopicAt(share, b)
		cancel()
		if err == nil || errors.Is(err, ErrNoTopic) {
			return is, err
		}
	}
	return topicState{}, err
}

func (c Cluster) describeTopicAt(ctx context.Context, broker string) (topicState, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(10)
	t := kmsg.NewMetadataRequestTopic()
	name := event.Topic
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	res := kmsg.NewPtrMetadataResponse()
	if err := c.exchange(ctx, broker, req, res); err != nil {
		return topicState{}, fmt.Errorf("describe topic at %s: %w", broker, err)
	}
	is := topicState{brokers: len(res.Brokers)}
	if res.ClusterID != nil {
		is.cluster = *res.ClusterID
	}
	if len(res.Topics) != 1 {
		return is, fmt.Errorf("describe topic at %s: %w", broker, io.ErrUnexpectedEOF)
	}
	topic := res.Topics[0]
	switch code := kafkago.Error(topic.ErrorCode); code {
	case 0:
	case kafkago.UnknownTopicOrPartition:
		return is, fmt.Errorf("%s at %s: %w", event.Topic, broker, ErrNoTopic)
	default:
		return is, fmt.Errorf("describe topic at %s: %w", broker, code)
	}
	is.id, is.partitions, is.led = uuid.UUID(topic.TopicID).String(), len(topic.Partitions), len(topic.Partitions) > 0
	for _, p := range topic.Partitions {
		is.led = is.led && p.Leader >= 0 && p.ErrorCode == 0
	}
	return is, nil
}

// topicPartitions are those of the topic, in the order of their numbers.
func topicPartitions(ctx context.Context, client *kafkago.Client) ([]kafkago.Partition, error) {
	meta, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{event.Topic}})
	if err != nil {
		return nil, err
	}
	if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) == 0 {
		return nil, kafkago.UnknownTopicOrPartition
	}
	topic := meta.Topics[0]
	if topic.Error != nil {
		return nil, topic.Error
	}
	slices.SortFunc(topic.Partitions, func(a, b kafkago.Partition) int { return a.ID - b.ID })
	for i, partition := range topic.Partitions {
		if partition.ID != i {
			return nil, kafkago.UnknownTopicOrPartition // a part is not known yet
		}
	}
	return topic.Partitions, nil
}
