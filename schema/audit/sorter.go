package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// key is what records are compared by: a SID, a token, a UUID, or a keyed hash.
type key [16]byte

// Whose account a record is from.
const (
	theirs = 0
	ours   = 1
)

// record is a thing that stands in one or both of two accounts. It has a fixed size, so that any number of them can be sorted,
// and holds nothing personal: what a text says is there as keyed hashes alone.
type record struct {
	Key   key
	Side  uint8
	State uint8 // ours: the rank of the attempt's state
	Flags uint8
	Words uint8 // the kinds of text that it can be, a bit each
	At    int64 // microseconds since 1970
	ID    key   // of what is shown: an attempt's token, a SID; or where a record stands
	Owner key   // ours: the message
	Body  key   // the first half of the SHA-256 of the body; of an event, of what it says
	To    uint64
	Code  uint64
	When  uint64
}

// Flags of a record.
const (
	lost   = 1 << iota // the outcome was unknown once, or the text was not delivered: another attempt had its reason
	moving             // the message is on its way
	dated              // When is what the text must say
)

// recordSize is the length of what append writes.
const recordSize = 4*len(key{}) + 4 + 4*8

func (r *record) append(b []byte) []byte {
	b = append(append(append(append(b, r.Key[:]...), r.ID[:]...), r.Owner[:]...), r.Body[:]...)
	b = append(b, r.Side, r.State, r.Flags, r.Words)
	for _, n := range []uint64{uint64(r.At), r.To, r.Code, r.When} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func (r *record) decode(b []byte) {
	for _, k := range []*key{&r.Key, &r.ID, &r.Owner, &r.Body} {
		b = b[copy(k[:], b):]
	}
	r.Side, r.State, r.Flags, r.Words = b[0], b[1], b[2], b[3]
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[4+8*i:]) }
	r.At, r.To, r.Code, r.When = int64(word(0)), word(1), word(2), word(3)
}

// sorter takes records in any order and gives them back by key, theirs first. It holds sortAtOnce of them; the rest goes into
// a temporary file, sorted in runs, which are merged. It is not safe for concurrent use.
type sorter struct {
	atOnce int
	chunk  []record
	file   *os.File
	runs   []int64 // where each ends
	n      int64
}

// sortAtOnce is how many records are sorted in memory: 13 MB of them.
const sortAtOnce = 1 << 17

func newSorter() *sorter { return &sorter{atOnce: sortAtOnce} }

// add takes a record.
func (s *sorter) add(r record) error {
	if len(s.chunk) == s.atOnce {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.chunk = append(s.chunk, r)
	s.n++
	return nil
}

func (s *sorter) sort() {
	slices.SortFunc(s.chunk, compareRecords)
}

// compareRecords orders by everything that a verdict may depend on, so that the same accounts give the same report.
func compareRecords(a, b record) int {
	return cmp.Or(bytes.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.Side, b.Side), cmp.Compare(a.At, b.At),
		bytes.Compare(a.ID[:], b.ID[:]), bytes.Compare(a.Owner[:], b.Owner[:]))
}

// spill writes a sorted run to the file.
func (s *sorter) spill() error {
	s.sort()
	if s.file == nil {
		f, err := os.CreateTemp("", "ansim-check-")
		if err != nil {
			return fmt.Errorf("sort: make a temporary file: %w", err)
		}
		s.file = f
	}
	w := bufio.NewWriterSize(s.file, 1<<18)
	buf := make([]byte, 0, recordSize)
	for i := range s.chunk {
		buf = s.chunk[i].append(buf[:0])
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("sort: write the temporary file: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort: write the temporary file: %w", err)
	}
	end := int64(len(s.chunk)) * int64(recordSize)
	if n := len(s.runs); n > 0 {
		end += s.runs[n-1]
	}
	s.runs = append(s.runs, end)
	s.chunk = s.chunk[:0]
	return nil
}

// close gives the file back. A nil sorter has none.
func (s *sorter) close() {
	if s == nil || s.file == nil {
		return
	}
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
	s.file = nil
}

// each calls fn with every record, by key. It may be called again, as long as nothing is added.
func (s *sorter) each(fn func(record) error) error {
	s.sort()
	streams := merge{{next: fromSlice(s.chunk)}}
	from := int64(0)
	for _, end := range s.runs {
		streams = append(streams, &stream{next: fromFile(io.NewSectionReader(s.file, from, end-from))})
		from = end
	}
	streams = slices.DeleteFunc(streams, func(st *stream) bool { return !st.advance() && st.err == nil })
	for _, st := range streams {
		if st.err != nil {
			return st.err
		}
	}
	heap.Init(&streams)
	for len(streams) > 0 {
		st := streams[0]
		if err := fn(st.head); err != nil {
			return err
		}
		if st.advance() {
			heap.Fix(&streams, 0)
		} else if st.err != nil {
			return st.err
		} else {
			heap.Pop(&streams)
		}
	}
	return nil
}

// groups calls fn with the records of each key, which it may keep only until it returns.
func (s *sorter) groups(fn func([]record) error) error {
	var group []record
	err := s.each(func(r record) error {
		if len(group) > 0 && group[0].Key != r.Key {
			if err := fn(group); err != nil {
				return err
			}
			group = group[:0]
		}
		group = append(group, r)
		return nil
	})
	if err == nil && len(group) > 0 {
		err = fn(group)
	}
	return err
}

// stream is one sorted run that is being merged.
type stream struct {
	head record
	next func(*record) error
	err  error
}

// advance reads the next head; false at the end or with err set.
func (st *stream) advance() bool {
	err := st.next(&st.head)
	if err != nil && !errors.Is(err, io.EOF) {
		st.err = fmt.Errorf("sort: read the temporary file: %w", err)
	}
	return err == nil
}

func fromSlice(rs []record) func(*record) error {
	return func(r *record) error {
		if len(rs) == 0 {
			return io.EOF
		}
		*r, rs = rs[0], rs[1:]
		return nil
	}
}

func fromFile(src io.Reader) func(*record) error {
	br := bufio.NewReaderSize(src, 1<<14)
	buf := make([]byte, recordSize)
	return func(r *record) error {
		if _, err := io.ReadFull(br, buf); err != nil {
			return err
		}
		r.decode(buf)
		return nil
	}
}

// merge is a heap of streams, the least head first.
type merge []*stream

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return compareRecords(m[i].head, m[j].head) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*stream)) }
func (m *merge) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}
