// Command planted puts known bugs into a copy of this repository, one by one, and wants the tests to find each:
//
//	go run ./test/planted [-list] [-only NAME,…] [-part K/N]
//
// A bug is a few words of the source that are replaced. For each, the tests that are to find it run first without it and then
// with it: they must pass, and then fail, and say why. A bug that survives means that a test is missing; one that no longer
// fits the source means that it must be planted anew. -part 1/3 takes the first of three parts, in turns by name, so that
// continuous integration can do them all in three runs. Exit 0 when every bug was found.
//
// Tests that need PostgreSQL skip where it is missing, as ever, and may then find less; ANSIM_TEST_REQUIRE=1 makes that fail.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// limit is how long the tests of one bug may take.
const limit = 5 * time.Minute

func main() {
	list := flag.Bool("list", false, "list the bugs, and plant none")
	only := flag.String("only", "", "plant these `names` only")
	part := flag.String("part", "1/1", "plant the `K/N`th part only")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := choose(*only, *part)
	if err == nil && *list {
		for _, b := range chosen {
			fmt.Printf("%-28s %s\n", b.name, b.why)
		}
		return
	}
	if err == nil {
		err = plantAll(ctx, chosen, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "planted:", err)
		os.Exit(1)
	}
}

// choose returns the bugs that are asked for.
func choose(only, part string) (chosen []bug, err error) {
	var k, n int
	if c, err := fmt.Sscanf(part, "%d/%d", &k, &n); c != 2 || err != nil || k < 1 || k > n {
		return nil, fmt.Errorf("-part %s: say 1/3, 2/3 or 3/3, for instance", part)
	}
	names := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for i, b := range bugs {
		if at := slices.Index(names, b.name); at >= 0 {
			names = slices.Delete(names, at, at+1)
		} else if only != "" {
			continue
		}
		if i%n == k-1 || only != "" {
			chosen = append(chosen, b)
		}
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("there is no bug called %s; -list shows them", strings.Join(names, ", "))
	}
	return chosen, nil
}

// plantAll plants bugs in a copy, one at a time.
func plantAll(ctx context.Context, chosen []bug, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ansim-planted-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(ctx, dir); err != nil {
		return err
	}
	survived := 0
	healthy := map[string]error{} // by package and tests
	for _, b := range chosen {
		key := b.in + " " + b.tests
		if _, known := healthy[key]; !known {
			_, healthy[key] = test(ctx, dir, b)
		}
		verdict := ""
		began := time.Now()
		if err := healthy[key]; err != nil {
			verdict = "NOT TRIED: its tests fail without it"
		} else {
			verdict = plant(ctx, dir, b)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if verdict != found {
			survived++
		}
		fmt.Fprintf(out, "%-28s %-60s %3.0f s\n", b.name, verdict, time.Since(began).Seconds())
	}
	if survived > 0 {
		return fmt.Errorf("%d of %d bugs were not found", survived, len(chosen))
	}
	fmt.Fprintf(out, "all %d were found\n", len(chosen))
	return nil
}

// found is the verdict that every bug is to get.
const found = "found"

// plant puts b into the tree at dir, runs its tests, takes it out again, and says what became of it.
func plant(ctx context.Context, dir string, b bug) string {
	was := map[string][]byte{}
	defer func() {
		for path, contents := range was {
			_ = os.WriteFile(path, contents, 0o600)
		}
	}()
	for _, e := range b.edits {
		path := filepath.Join(dir, e.file)
		contents, err := os.ReadFile(path)
		if err != nil {
			return "DOES NOT FIT: " + err.Error()
		}
		if n := bytes.Count(contents, []byte(e.old)); n != 1 {
			return fmt.Sprintf("DOES NOT FIT: %s has what it replaces %d times", e.file, n)
		}
		if was[path] == nil {
			was[path] = contents
		}
		if err := os.WriteFile(path, bytes.Replace(contents, []byte(e.old), []byte(e.planted), 1), 0o600); err != nil {
			return "DOES NOT FIT: " + err.Error()
		}
	}
	said, err := test(ctx, dir, b)
	switch {
	case err == nil:
		return "SURVIVED"
	case strings.Contains(said, "[build failed]") || strings.Contains(said, "[setup failed]"):
		return "DOES NOT BUILD:\n" + said
	case !regexp.MustCompile(b.says).MatchString(said):
		return "FOUND FOR ANOTHER REASON:\n" + said
	}
	return found
}

// test runs b's tests in the tree at dir.
func test(ctx context.Context, dir string, b bug) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-vet=off", "-timeout", limit.String(), "-run", b.tests, b.in)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	_ = os.RemoveAll(filepath.Join(dir, b.in, "testdata", "rapid")) // what one bug made fail is not to be tried first with the next
	if err == nil && bytes.Contains(output, []byte("no tests to run")) {
		err = errors.New("there are no such tests")
	}
	const most = 6000
	if len(output) > most {
		output = append(slices.Clone(output[:most/2]), output[len(output)-most/2:]...)
	}
	return string(output), err
}

// copyTree copies what git knows, and what it would take in, to dir.
func copyTree(ctx context.Context, dir string) error {
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	top := strings.TrimSpace(string(root))
	ls := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	ls.Dir = top
	files, err := ls.Output()
	if err != nil {
		return fmt.Errorf("list the repository: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		contents, err := os.ReadFile(filepath.Join(top, name))
		if errors.Is(err, os.ErrNotExist) { // deleted, and not committed yet
			continue
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, contents, 0o600); err != nil {
			return err
		}
	}
	return nil
}
