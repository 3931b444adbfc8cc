package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/schema/event"
)

// DefaultGroup is the consumer group of the notifier.
const DefaultGroup = "ansim-notifier"

const (
	maxWait           = 250 * time.Millisecond // a fetch with nothing to give answers after this
	heartbeat         = 2 * time.Second
	sessionTimeout    = 6 * time.Second // a consumer that was killed holds its partitions for this long; brokers allow no less
	rebalanceTimeout  = 3 * time.Second // the others wait this long for one that does not rejoin, such as our former self after a broker's restart
	joinBackoff       = time.Second
	watchTopic        = 2 * time.Second
	gather            = time.Millisecond // how long a batch waits for company after its first record
	ready             = 1000             // records read and not yet fetched
	readBackoff       = 100 * time.Millisecond
	readBackoffMax    = time.Second
	maxFetchBytes     = 1 << 20   // of one answer; a batch that is larger comes alone
	maxPartitionBytes = 256 << 10 // of one partition in it
	commitTimeout     = 5 * time.Second
	leaveTimeout      = 3 * time.Second // how long a consumer that ends may try to tell the group
)

// Record is one record of the topic. What it holds is the publisher's word and may be anything: see event.Decode.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Headers   []event.Header
	Body      []byte

	from *generation // nil when it did not come from a Consumer
}

// ConsumerOptions are the settings of a Consumer.
type ConsumerOptions struct {
	Cluster Cluster // at least one broker of it
	Group   string  // default DefaultGroup
	Log     *slog.Logger
}

// Consumer reads the topic as a member of a consumer group. Every record comes at least once: it comes again when it was
// not committed before a restart or a rebalance.
//
// It uses kafka-go's ConsumerGroup, and asks each broker for all partitions at once that it leads. A Reader with a group asks
// for each partition by itself, which costs, while little comes, as much again for each partition, here and at the broker;
// and it has three habits that lose events or time here:
//
//   - When a topic is deleted and made again, it goes on at its old offset. While the new log is shorter it stands still;
//     once the log has grown past the offset it reads on from there, and everything before is skipped without a word.
//     Here each committed offset carries the id of the topic that it belongs to, as the offset's metadata. Another id, seen
//     at a start or by the watch that runs every two seconds, means: read from the first offset.
//   - Its OffsetOutOfRange cannot be answered, since the offset of a Reader in a group cannot be set. Here it means the
//     same: read from the first offset.
//   - Without a topic it rejoins the group in a tight loop, if it is to watch for changes. Here the topic is awaited,
//     made when nobody else does, and watched, partitions added included.
//
// An offset without metadata was set by a person's tool and is believed.
type Consumer struct {
	opts      ConsumerOptions
	transport *kafkago.Transport
	client    *kafkago.Client
	records   chan Record

	stop   context.CancelFunc
	done   chan struct{}
	health health

	mu      sync.Mutex
	current *generation
}

// NewConsumer starts to read. Brokers may be away: it keeps trying, and says in the log when it begins to fail and when it
// no longer does. Close it.
func NewConsumer(opts ConsumerOptions) (*Consumer, error) {
	if len(opts.Cluster.Brokers) == 0 {
		return nil, fmt.Errorf("new consumer: %w", ErrNoBrokers)
	}
	if opts.Group == "" {
		opts.Group = DefaultGroup
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Cluster.Brokers = slices.Clone(opts.Cluster.Brokers)
	t := opts.Cluster.newTransport()
	ctx, stop := context.WithCancel(context.Background())
	c := &Consumer{
		opts: opts, transport: t, client: opts.Cluster.newClient(t),
		records: make(chan Record, ready), stop: stop, done: make(chan struct{}),
		health: health{log: opts.Log},
	}
	go c.run(ctx)
	return c, nil
}

// Close leaves the group and ends Fetch. Uncommitted records come again, to whoever reads next.
func (c *Consumer) Close() error {
	c.stop()
	<-c.done
	c.transport.CloseIdleConnections()
	return nil
}

// ErrClosed is returned by Fetch after Close.
var ErrClosed = errors.New("consumer is closed")

// Fetch waits for a record and returns it with what else is there, up to max and without waiting for more than about a
// millisecond. Records of one partition are in order. Its errors are ctx's and ErrClosed: a broker that is away is waited for.
func (c *Consumer) Fetch(ctx context.Context, limit int) ([]Record, error) {
	var batch []Record
	for len(batch) == 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.done:
			return nil, ErrClosed
		case r := <-c.records:
			batch = c.deliver(batch, r)
		}
	}
	enough := time.NewTimer(gather)
	defer enough.Stop()
	for len(batch) < limit {
		select {
		case r := <-c.records:
			batch = c.deliver(batch, r)
		case <-enough.C:
			return batch, nil
		}
	}
	return batch, nil
}

// Reading says whether this consumer belongs to the group and could read when it last tried: records that come will be fetched.
func (c *Consumer) Reading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current != nil && c.health.good()
}

// deliver appends r, unless it was read under an assignment that has ended: its new owner reads it, too.
func (c *Consumer) deliver(batch []Record, r Record) []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.from != c.current {
		return batch
	}
	r.from.delivered(r)
	return append(batch, r)
}

// Commit says that the records were dealt with. Of each partition the offset moves past the records that were all
// committed, never past a fetched one that was not, whatever the order of the calls. Records whose partitions went to
// another consumer meanwhile are passed over, since that one reads them again.
//
// An error is not an error of the processing: the records come again or, more likely, the next commit covers them.
func (c *Consumer) Commit(ctx context.Context, records []Record) error {
	c.mu.Lock()
	gen := c.current
	var offsets []kafkago.OffsetCommit
	if gen != nil {
		offsets = gen.finish(records)
	}
	c.mu.Unlock()
	if len(offsets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	res, err := c.client.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
		GroupID: c.opts.Group, GenerationID: int(gen.id), MemberID: gen.member,
		Topics: map[string][]kafkago.OffsetCommit{event.Topic: offsets},
	})
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	for _, p := range res.Topics[event.Topic] {
		if p.Error != nil {
			return fmt.Errorf("commit offset of partition %d: %w", p.Partition, p.Error)
		}
	}
	return nil
}

// run joins the group again and again until the consumer is closed.
func (c *Consumer) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		err := c.join(ctx)
		c.health.note(ctx, err)
		if err != nil {
			pause(ctx, joinBackoff)
		}
	}
}

// join is a member of the group for as long as the topic stays the same. It returns nil when the topic has changed.
func (c *Consumer) join(ctx context.Context) error {
	is, err := c.opts.Cluster.describeTopic(ctx)
	if errors.Is(err, ErrNoTopic) {
		if err = c.opts.Cluster.ensureTopic(ctx, c.client, TopicOptions{}); err == nil {
			is, err = c.opts.Cluster.describeTopic(ctx)
		}
	}
	if err != nil {
		return err
	}
	dialing, stopDialing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDialing()
	defer context.AfterFunc(ctx, func() { // leaving the group needs a connection, too
		pause(dialing, leaveTimeout)
		stopDialing()
	})()
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: c.opts.Group, Brokers: c.opts.Cluster.Brokers, Topics: []string{event.Topic}, Dialer: c.opts.Cluster.dialer(dialing),
		HeartbeatInterval: heartbeat, SessionTimeout: sessionTimeout, RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: joinBackoff, StartOffset: kafkago.FirstOffset,
	})
	if err != nil {
		return fmt.Errorf("join group: %w", err)
	}
	defer group.Close()

	ctx, changed := context.WithCancel(ctx)
	defer changed()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer changed()
		c.watch(ctx, is)
	})
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			// The group pauses by itself before it tries again.
			c.health.note(ctx, fmt.Errorf("join group: %w", err))
		default:
			gen.Start(func(genCtx context.Context) { c.consume(ctx, genCtx, gen, is.id) })
		}
	}
}

// watch returns when the topic is no longer what it was.
func (c *Consumer) watch(ctx context.Context, was topicState) {
	for {
		if !pause(ctx, watchTopic) {
			return
		}
		is, err := c.opts.Cluster.describeTopic(ctx)
		switch {
		case errors.Is(err, ErrNoTopic):
			c.opts.Log.WarnContext(ctx, "topic is gone", "topic", event.Topic)
			return
		case err != nil:
			// Nothing is known, so nothing has changed; that the broker is away is noticed by the heartbeat.
		case is.id != was.id:
			c.opts.Log.WarnContext(ctx, "topic was made anew; reading it from its first offset", "topic", event.Topic)
			return
		case is.partitions != was.partitions:
			c.opts.Log.InfoContext(ctx, "topic has another number of partitions", "topic", event.Topic, "partitions", is.partitions)
			return
		}
	}
}

// setCurrent makes gen the one whose records count; records of any other are dropped.
func (c *Consumer) setCurrent(gen *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = gen
}

// pause waits, and says whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// health speaks once when things begin to fail and once when they work again, however often that is tried in between.
type health struct {
	log  *slog.Logger
	mu   sync.Mutex
	away bool
}

func (h *health) note(ctx context.Context, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && !h.away && ctx.Err() == nil:
		h.away = true
		h.log.WarnContext(ctx, "cannot read from Kafka; trying on", "error", err)
	case err == nil && h.away:
		h.away = false
		h.log.InfoContext(ctx, "reading from Kafka again")
	}
}

// good says whether things worked when they were last tried.
func (h *health) good() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.away
}
