package sqldb_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"ansim/schema/sqldb"
)

// doubler is a batcher whose runs wait for a word on the channel they return, and answer each call with its double.
type doubler struct {
	*sqldb.Batcher[int, int]
	goOn chan error
	runs [][]int
}

func newDoubler(maxBatch, queue int) *doubler {
	d := &doubler{goOn: make(chan error)}
	d.Batcher = sqldb.NewBatcher(maxBatch, queue, func(ctx context.Context, in []int) ([]int, error) {
		d.runs = append(d.runs, slices.Clone(in))
		if err := <-d.goOn; err != nil {
			return nil, err
		}
		out := make([]int, len(in))
		for i, n := range in {
			out[i] = 2 * n
		}
		return out, ctx.Err()
	})
	return d
}

type answer struct {
	out int
	err error
}

// ask hands in a call and waits, inside a synctest bubble, until it is queued or answered.
func (d *doubler) ask(ctx context.Context, in int) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		out, err := d.Do(ctx, in)
		c <- answer{out, err}
	}()
	synctest.Wait()
	return c
}

func TestBatcherGroupsWhatCameDuringARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoubler(3, 10)
		var asked []<-chan answer
		for i := range 6 {
			asked = append(asked, d.ask(t.Context(), i+1))
		}
		if got := d.Waiting(); got != 5 {
			t.Errorf("%d calls wait, want 5: a lone call runs at once", got)
		}
		for range 3 {
			d.goOn <- nil
		}
		for i, c := range asked {
			if got := <-c; got != (answer{2 * (i + 1), nil}) {
				t.Errorf("call %d was answered %v", i+1, got)
			}
		}
		d.Stop()
		if want := [][]int{{1}, {2, 3, 4}, {5, 6}}; !reflect.DeepEqual(d.runs, want) {
			t.Errorf("the runs were %v, want %v", d.runs, want)
		}
	})
}

func TestBatcherRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoubler(10, 2)
		first, second, third := d.ask(t.Context(), 1), d.ask(t.Context(), 2), d.ask(t.Context(), 3)
		if got := <-d.ask(t.Context(), 4); !errors.Is(got.err, sqldb.ErrOverloaded) {
			t.Errorf("a call beyond the queue got %v", got)
		}
		d.goOn <- nil
		d.goOn <- nil
		for i, c := range []<-chan answer{first, second, third} {
			if got := <-c; got != (answer{2 * (i + 1), nil}) {
				t.Errorf("call %d was answered %v", i+1, got)
			}
		}
		d.Stop()
		if len(d.runs) != 2 {
			t.Errorf("a refused call ran: %v", d.runs)
		}
	})
}

func TestBatcherErrorAnswersAllOfItsRunAndNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoubler(2, 10)
		before := d.ask(t.Context(), 1)
		a, b := d.ask(t.Context(), 2), d.ask(t.Context(), 3)
		after := d.ask(t.Context(), 4)
		boom := errors.New("boom")
		for _, err := range []error{nil, boom, nil} {
			d.goOn <- err
		}
		for _, c := range []<-chan answer{a, b} {
			if got := <-c; !errors.Is(got.err, boom) {
				t.Errorf("a call of the failed run got %v", got)
			}
		}
		if x, y := <-before, <-after; x.err != nil || y.err != nil {
			t.Errorf("calls of other runs got %v and %v", x, y)
		}
		d.Stop()
	})
}

func TestBatcherStopFinishesWhatWasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoubler(1, 10)
		running, queued := d.ask(t.Context(), 1), d.ask(t.Context(), 2)
		stopped := make(chan struct{})
		go func() { d.Stop(); close(stopped) }()
		synctest.Wait()
		if got := <-d.ask(t.Context(), 3); !errors.Is(got.err, sqldb.ErrStopped) {
			t.Errorf("a call after Stop got %v", got)
		}
		select {
		case <-stopped:
			t.Error("Stop returned while calls were under way")
		default:
		}
		d.goOn <- nil
		d.goOn <- nil
		if x, y := <-running, <-queued; x != (answer{2, nil}) || y != (answer{4, nil}) {
			t.Errorf("what was taken before Stop got %v and %v", x, y)
		}
		<-stopped
		d.Stop() // a second time
	})
}

func TestBatcherCallerMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoubler(10, 10)
		running := d.ask(t.Context(), 1)
		ctx, cancel := context.WithCancel(t.Context())
		left := d.ask(ctx, 2)
		cancel()
		if got := <-left; !errors.Is(got.err, context.Canceled) {
			t.Errorf("a caller who left got %v", got)
		}
		stays := d.ask(t.Context(), 3)
		d.goOn <- nil
		d.goOn <- nil
		if x, y := <-running, <-stays; x != (answer{2, nil}) || y != (answer{6, nil}) {
			t.Errorf("the others got %v and %v", x, y)
		}
		d.Stop()
		if want := [][]int{{1}, {2, 3}}; !reflect.DeepEqual(d.runs, want) {
			t.Errorf("the runs were %v, want %v: what was taken is carried out", d.runs, want)
		}
	})
}

func TestBatcherRefusesAShortAnswer(t *testing.T) {
	t.Parallel()
	b := sqldb.NewBatcher(10, 10, func(context.Context, []int) ([]int, error) { return nil, nil })
	defer b.Stop()
	if _, err := b.Do(t.Context(), 1); err == nil {
		t.Error("a call that was not answered got no error")
	}
}

func TestBatcherOutlivesAPanic(t *testing.T) {
	t.Parallel()
	b := sqldb.NewBatcher(1, 1, func(_ context.Context, in []int) ([]int, error) {
		if in[0] == 0 {
			panic("secret")
		}
		return in, nil
	})
	defer b.Stop()
	if _, err := b.Do(t.Context(), 0); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	if out, err := b.Do(t.Context(), 7); out != 7 || err != nil {
		t.Errorf("after a panic: %d, %v", out, err)
	}
}

// Not parallel: it counts goroutines.
func TestBatcherLeavesNoGoroutine(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	b := sqldb.NewBatcher(10, 10, func(_ context.Context, in []int) ([]int, error) { return in, nil })
	if _, err := b.Do(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	goleak.VerifyNone(t, ignore)
}
