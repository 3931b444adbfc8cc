package audit

import (
	"bytes"
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSorter: whatever is added, in whatever order and with however little memory, comes back sorted, and again.
func TestSorter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSorter()
		s.atOnce = rapid.IntRange(1, 50).Draw(t, "at once")
		defer s.close()
		var want []record
		for _, n := range rapid.SliceOfN(rapid.Uint64(), 0, 200).Draw(t, "records") {
			k := key(bytes.Repeat([]byte{byte(n)}, 16)) // few keys, so that there are groups
			r := record{Key: k, Side: uint8(n >> 8 & 1), State: uint8(n >> 16), Flags: uint8(n >> 24), Words: uint8(n >> 32),
				At: int64(n), ID: key(bytes.Repeat([]byte{byte(n >> 40)}, 16)), Owner: k, Body: k, To: n, Code: math.MaxUint64 - n, When: n / 3}
			want = append(want, r)
			if err := s.add(r); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortStableFunc(want, compareRecords)
		for range 2 {
			var got []record
			if err := s.groups(func(g []record) error { got = append(got, g...); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestSorterGroups(t *testing.T) {
	t.Parallel()
	s := newSorter()
	s.atOnce = 2
	for _, n := range []byte{3, 1, 2, 1, 3, 1} {
		if err := s.add(record{Key: key{n}}); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int
	if err := s.groups(func(g []record) error { sizes = append(sizes, len(g)); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{3, 1, 2}, sizes); diff != "" {
		t.Error(diff)
	}
	stop := errors.New("stop")
	if err := s.groups(func([]record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	name := s.file.Name()
	s.close()
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the temporary file is there still: %v", err)
	}
}
