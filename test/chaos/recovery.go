package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// trials is how often each death is measured.
const trials = 5

// recovery measures how long it takes after a death until somebody who booked after it has their text: with one process for
// each role and nobody to take over, started again at once, as a supervisor does. The last is everything at once, the database
// included. Nothing is judged by the clock here; the figures are printed.
func recovery(ctx context.Context, out io.Writer) error {
	bin, err := os.MkdirTemp("", "ansim-chaos-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	binary, err := build(ctx, bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ansim-chaos-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	st := &stand{place: servers, sweeper: true, binary: binary, dir: dir, out: out, dice: rand.New(rand.NewPCG(1, 1)), onDisk: true}
	defer st.end()
	if err := st.open(ctx); err != nil {
		return fmt.Errorf("start the installation: %w", err)
	}
	for _, role := range []string{"api", "relay", "notifier"} {
		spare := st.with(role)[1]
		if err := spare.stop(ctx); err != nil {
			return err
		}
		spare.spare = true
	}
	c := st.gather(1)
	defer c.client.CloseIdleConnections()
	figures := map[string][]float64{}
	for _, death := range []struct {
		name string
		die  func() error
	}{
		{"api", func() error { return st.killAndStart(ctx, "api") }},
		{"relay", func() error { return st.killAndStart(ctx, "relay") }},
		{"notifier", func() error { return st.killAndStart(ctx, "notifier") }},
		{"everything and the database", func() error { _, err := everything(ctx, st); return err }},
	} {
		for range trials {
			if _, err := c.untilTold(ctx, func() error { return nil }); err != nil { // it works before
				return err
			}
			took, err := c.untilTold(ctx, death.die)
			if err != nil {
				return fmt.Errorf("%s: %w", death.name, err)
			}
			figures[death.name] = append(figures[death.name], took.Seconds())
		}
		sorted := slices.Sorted(slices.Values(figures[death.name]))
		fmt.Fprintf(out, "%-28s until the next text: median %.2f s, longest %.2f s of %d\n", death.name, sorted[len(sorted)/2], sorted[len(sorted)-1], len(sorted))
	}
	line, err := json.Marshal(map[string]any{"recovery_seconds": figures})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

func (st *stand) killAndStart(ctx context.Context, role string) error {
	m := st.with(role)[0]
	m.kill()
	return m.start(ctx)
}

// untilTold lets people come from the moment at which die begins, and returns when the first of them has their text.
func (c *crowd) untilTold(ctx context.Context, die func() error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	began := time.Now()
	died := make(chan error, 1)
	go func() { died <- die() }()
	var mu sync.Mutex
	codes := map[string]bool{}
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n < 50 {
			c.mu.Lock()
			p := c.invent()
			p.Identity, p.plan, p.twice, p.Booker = fmt.Sprintf("%s-%d-%d", p.Identity, began.UnixNano(), n), nil, false, ""
			c.mu.Unlock()
			asking.Go(func() {
				if c.live(ctx, p) == nil {
					mu.Lock()
					codes[p.Code] = true
					mu.Unlock()
				}
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("nobody got a text within two minutes: %w", ctx.Err())
		}
		texts, err := c.st.readTexts()
		if err != nil {
			return 0, err
		}
		mu.Lock()
		told := slices.ContainsFunc(texts, func(x text) bool { return codes[strings.TrimSpace(codePattern.FindString(x.Body))] })
		mu.Unlock()
		if told {
			took := time.Since(began)
			return took, <-died
		}
	}
}
