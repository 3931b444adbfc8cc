package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"ansim/outbox/kafka"
	"ansim/schema/event"
	kafkatest "ansim/test/kafka"
)

// TestKafkaFaults does to Kafka what must not cost anybody a text, while people book. Bookings notice nothing of it.
func TestKafkaFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name string
		do   func(t *testing.T, broker *kafkatest.Broker)
	}{
		{"topic deleted and recreated", recreateTopic},
		{"an empty broker instead", func(_ *testing.T, b *kafkatest.Broker) { b.Wipe() }},
		{"broker restart", func(_ *testing.T, b *kafkatest.Broker) { b.Restart() }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			broker := kafkatest.Start(t)
			in := onServers(t, broker)
			service := in.serve(all)
			in.prepare()
			c := in.crowdOf(31, people(900), 6)
			c.pace = 15 * time.Second / time.Duration(len(c.people))
			wait := c.start(2 * time.Minute)
			c.until(len(c.people) / 4)
			fault.do(t, broker)
			wait()
			c.untroubled()
			in.everybodyKnows(2*time.Minute, c)
			in.allDelivered()
			t.Logf("the sweeper made %g messages", in.rescued(service))
		})
	}
}

// TestUnreadEventsLost loses events that only Kafka had been asked to carry on: published, and read by nobody. Those come
// from the outbox; what is published afterwards is read from Kafka, although the group's offsets are of another log.
func TestUnreadEventsLost(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name string
		do   func(t *testing.T, broker *kafkatest.Broker)
	}{
		{"topic deleted and recreated", recreateTopicKeepOffsets},
		{"an empty broker instead", func(_ *testing.T, b *kafkatest.Broker) { b.Wipe() }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			broker := kafkatest.Start(t)
			in := onServers(t, broker)
			front, notifier := in.serve("api,relay"), in.serve("notifier")
			in.prepare()
			publish := func(seed uint64, n int) *crowd {
				c := in.crowdOf(seed, n, 0)
				c.start(time.Minute)()
				await(t, time.Minute, "everything is published", func() error {
					if rows := in.metric(front, "ansim_outbox_backlog_rows"); rows > 0 {
						return fmt.Errorf("%w: %g rows", errNotYet, rows)
					}
					return nil
				})
				return c
			}
			read := publish(61, 120)
			in.everybodyKnows(time.Minute, read)
			notifier.stop()
			lost := publish(62, 200)
			fault.do(t, broker)
			later := publish(63, 360) // more than were read: the offsets of the other log lie within this one
			// The sweeper looks at what is half a minute old. These are to come by Kafka however long the notifier takes to begin.
			in.exec(`UPDATE outbox SET created_at = created_at + interval '10 minutes' WHERE id IN (SELECT id FROM outbox ORDER BY id DESC LIMIT 360)`)
			notifier = in.serve("notifier")
			in.everybodyKnows(2*time.Minute, read, lost, later)
			in.allDelivered()
			n := in.rescued(notifier)
			if n < 200 || n > 230 {
				t.Errorf("the sweeper made %g messages; 200 events were lost, and 360 stand in the topic", n)
			}
			t.Logf("the sweeper made %g messages", n)
		})
	}
}

func clientFor(t *testing.T, broker *kafkatest.Broker) *kafkago.Client {
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(broker.Addr()), Transport: transport}
}

// recreateTopicKeepOffsets is recreateTopic, after which the group, of which nobody is at work, has the offsets that it had.
// Apache Kafka forgets them with the topic, most times; a topic restored by a tool may find them.
func recreateTopicKeepOffsets(t *testing.T, broker *kafkatest.Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := clientFor(t, broker)
	all := make([]int, 12)
	for i := range all {
		all[i] = i
	}
	had, err := client.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: kafka.DefaultGroup, Topics: map[string][]int{event.Topic: all}})
	if err != nil {
		t.Fatalf("fetch the group's offsets: %v", err)
	}
	var keep []kafkago.OffsetCommit
	for _, p := range had.Topics[event.Topic] {
		if p.CommittedOffset > 0 {
			keep = append(keep, kafkago.OffsetCommit{Partition: p.Partition, Offset: p.CommittedOffset, Metadata: p.Metadata})
		}
	}
	if len(keep) == 0 {
		t.Fatal("the group has no offsets")
	}
	recreateTopic(t, broker)
	await(t, time.Minute, "the group has its offsets again", func() error {
		res, err := client.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{GroupID: kafka.DefaultGroup, GenerationID: -1,
			Topics: map[string][]kafkago.OffsetCommit{event.Topic: keep}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[event.Topic] {
			err = errors.Join(err, p.Error)
		}
		return err
	})
}

// recreateTopic deletes the topic and makes it again, unless somebody did already.
func recreateTopic(t *testing.T, broker *kafkatest.Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := clientFor(t, broker)
	res, err := client.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: []string{event.Topic}})
	if err == nil {
		err = res.Errors[event.Topic]
	}
	if err != nil {
		t.Fatalf("delete the topic: %v", err)
	}
	await(t, time.Minute, "the topic is made again", func() error {
		res, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{
			{Topic: event.Topic, NumPartitions: 12, ReplicationFactor: 1}}})
		if err == nil {
			err = res.Errors[event.Topic]
		}
		if errors.Is(err, kafkago.TopicAlreadyExists) {
			return nil
		}
		return err
	})
}

// While the broker is away people book as ever, readiness says what is degraded, and the texts go out afterwards, or before
// that from the outbox.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Start(t)
	in := onServers(t, broker)
	service := in.serve(all)
	in.prepare()
	before := in.crowdOf(41, 50, 0)
	before.start(time.Minute)()
	broker.Stop()
	during := in.crowdOf(42, people(600), 6)
	during.start(time.Minute)()
	during.untroubled()
	in.degraded(service)
	broker.Restart()
	in.recovered(service)
	after := in.crowdOf(43, 50, 0)
	after.start(time.Minute)()
	in.everybodyKnows(2*time.Minute, before, during, after)
	in.allDelivered()
	t.Logf("the sweeper made %g messages", in.rescued(service))
}

// A service may start before its broker.
func TestStartWhileBrokerIsAway(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Start(t)
	broker.Stop()
	in := onServers(t, broker)
	service := in.serve(all)
	in.prepare()
	early := in.crowdOf(51, people(300), 6)
	early.start(time.Minute)()
	early.untroubled()
	in.degraded(service)
	broker.Restart()
	in.recovered(service)
	late := in.crowdOf(52, 50, 0)
	late.start(time.Minute)()
	in.everybodyKnows(2*time.Minute, early, late)
	in.allDelivered()
	if took := service.stop(); took > stopLimit {
		t.Errorf("it took %s to end", took)
	}
}

func (in *installation) degraded(p *process) {
	in.t.Helper()
	in.becomes(p, "degraded", "away")
}

func (in *installation) recovered(p *process) {
	in.t.Helper()
	in.becomes(p, "ready", "ok")
}

func (in *installation) becomes(p *process, status, broker string) {
	in.t.Helper()
	await(in.t, time.Minute, "readiness is "+status, func() error {
		if r := in.ready(p); r.Status != status || r.Checks["broker"] != broker || r.Checks["database"] != "ok" {
			return fmt.Errorf("%w: %+v", errNotYet, r)
		}
		return nil
	})
}
