package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A bug that no longer fits the source is found here at once, and not only when its turn comes to be planted.
func TestBugsFit(t *testing.T) {
	t.Parallel()
	for _, b := range bugs {
		for _, e := range b.edits {
			source, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(e.file)))
			if err != nil {
				t.Error(err)
			} else if n := strings.Count(string(source), e.old); n != 1 {
				t.Errorf("%s: what it replaces stands in %s %d times, not once", b.name, e.file, n)
			}
		}
	}
}
