package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ansim/schema/sqldb"
)

// healLimit is how long an installation may take to converge after the last fault: a lease of a minute that a killed notifier
// left behind, the look-ups after that, a sender that rests 30 s after a 401, and a slow machine.
const healLimit = 4 * time.Minute

// round is one installation, the faults that it meets, and what is found out afterwards.
type round struct {
	name    string
	place   place
	sweeper bool
	seed    uint64
	binary  string
	out     io.Writer
	play    func(context.Context, *stand) error // the faults
}

// result is what became of a round.
type result struct {
	Round    string         `json:"round"`
	Seed     uint64         `json:"seed"`
	People   int            `json:"people"`
	Requests int            `json:"requests"`
	Unknown  int            `json:"unknown"` // requests without an answer, asked again
	Kills    int            `json:"kills"`
	Points   map[string]int `json:"points,omitempty"`
	Texts    int            `json:"texts"`
	Further  int            `json:"further"` // attempts that followed another
	Rescued  int            `json:"rescued"`
	Held     int            `json:"held"`
	Healed   float64        `json:"healed_seconds"`
	Wrongs   []string       `json:"wrongs,omitempty"`
	err      error
}

func (r *result) ok() bool { return r.err == nil && len(r.Wrongs) == 0 }

// run plays the round.
func (rd round) run(ctx context.Context) (res result) {
	res = result{Round: rd.name, Seed: rd.seed}
	dir, err := os.MkdirTemp("", "ansim-chaos-")
	if err != nil {
		res.err = err
		return res
	}
	st := &stand{place: rd.place, sweeper: rd.sweeper, binary: rd.binary, dir: dir, out: rd.out, dice: rand.New(rand.NewPCG(rd.seed, 1))}
	defer func() {
		if !res.ok() {
			st.keepTables(ctx)
		}
		st.end()
		if res.ok() {
			_ = os.RemoveAll(dir)
			return
		}
		fmt.Fprintf(rd.out, "\n%s FAILED, seed %d; its logs are in %s\n", rd.name, rd.seed, dir)
		if res.err != nil {
			fmt.Fprintln(rd.out, "  ", res.err)
		}
		for _, w := range res.Wrongs {
			fmt.Fprintln(rd.out, "  ", w)
		}
		fmt.Fprintf(rd.out, "the schedule:\n  %s\n", strings.Join(st.schedule, "\n  "))
	}()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user
		res.err = err
		return res
	}
	if err := st.open(ctx); err != nil {
		res.err = fmt.Errorf("start the installation: %w", err)
		return res
	}
	c := st.gather(rd.seed)
	coming, leave := context.WithCancel(ctx)
	defer leave()
	go c.come(coming)
	res.err = rd.play(ctx, st)
	st.note("heals")
	healing := time.Now()
	if err := st.heal(ctx); err != nil {
		res.err = errors.Join(res.err, fmt.Errorf("heal: %w", err))
		return res
	}
	// Who has no answer yet gets one, or the round fails.
	late := time.AfterFunc(healLimit, leave)
	c.enough()
	late.Stop()
	if err := st.settle(ctx); err != nil {
		res.err = errors.Join(res.err, err)
	}
	res.Healed = time.Since(healing).Seconds()
	st.note("settled after %.1f s", res.Healed)
	return st.find(ctx, c, res)
}

// find lets the judge judge, and counts.
func (st *stand) find(ctx context.Context, c *crowd, res result) result {
	texts, err := st.readTexts()
	if err != nil {
		res.err = errors.Join(res.err, err)
		return res
	}
	l, err := st.readLedger(ctx)
	if err != nil {
		res.err = errors.Join(res.err, err)
		return res
	}
	v := judge(st, c.people, texts, l)
	if l.rescued > 0 && !st.lossy.Load() {
		v.wrong("the sweeper made %d messages, and nothing was done to Kafka that explains it", l.rescued)
	}
	if int64(l.parked) > st.garbage.Load() {
		v.wrong("%d events are parked, and %d were unreadable", l.parked, st.garbage.Load())
	}
	for _, m := range st.members {
		for _, alarm := range m.p.out.panics() {
			v.wrong("%s panicked: %s", m.name, alarm)
		}
	}
	out, code, err := st.command(ctx, "check", "--settled", "--json", "--log", st.texts)
	if err != nil || code != 0 {
		v.wrong("ansim check --settled: exit %d, %v\n%s", code, err, out)
	}
	if v.more > 0 {
		v.wrongs = append(v.wrongs, fmt.Sprintf("and %d more", v.more))
	}
	for _, p := range c.people {
		for _, d := range p.Deeds {
			res.Requests += d.Asked
			res.Unknown += d.Unknown
		}
	}
	res.People, res.Kills, res.Points, res.Texts = len(c.people), int(st.kills.Load()), st.reached, len(texts)
	res.Further, res.Rescued, res.Held, res.Wrongs = l.further, l.rescued, l.held, v.wrongs
	return res
}

// keepTables writes what the database holds of texts into the round's folder, which stays when the round failed.
func (st *stand) keepTables(ctx context.Context) {
	if st.db == nil {
		return
	}
	for _, table := range []string{"reservation", "outbox", "message", "message_queue", "attempt", "receipt", "resend", "parked_event"} {
		file, err := os.Create(filepath.Join(st.dir, table+".ndjson"))
		if err != nil {
			fmt.Fprintf(st.out, "cannot keep %s: %v\n", table, err)
			continue
		}
		err = st.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			rows, err := tx.Query(ctx, "SELECT * FROM "+table)
			if err != nil {
				return err
			}
			defer rows.Close()
			lines := json.NewEncoder(file)
			for rows.Next() {
				row := map[string]any{}
				if err := rows.MapScan(row); err != nil {
					return err
				}
				if err := lines.Encode(row); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		if err := errors.Join(err, file.Close()); err != nil {
			fmt.Fprintf(st.out, "cannot keep %s: %v\n", table, err)
		}
	}
}

// settle waits until nothing is under way any more.
func (st *stand) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	last := ""
	for ctx.Err() == nil {
		what, err := st.underWay(ctx)
		if err == nil && what == "" {
			return nil
		}
		if last = what; err != nil {
			last = err.Error()
		}
		pause(ctx, 500*time.Millisecond)
	}
	return fmt.Errorf("I12: it does not converge within %s: %s", healLimit, last)
}

// singles meets each fault of the table that is for such an installation once, one after the other, in an order of the seed's;
// those that excuse the sweeper come last.
func singles(only string) func(context.Context, *stand) error {
	return func(ctx context.Context, st *stand) error {
		var cells, lossy []cell
		for _, c := range table() {
			switch {
			case c.elsewhere != "" || c.long || c.on != "" && c.on != st.place || !strings.Contains(c.name(), only):
			case c.lossy:
				lossy = append(lossy, c)
			default:
				cells = append(cells, c)
			}
		}
		for _, list := range [][]cell{cells, lossy} {
			st.dice.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			for _, c := range list {
				if err := c.insist(ctx, st); errors.Is(err, errNoSmall) {
					fmt.Fprintf(st.out, "NOT TESTED: %s: %v\n", c.name(), err)
				} else if err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	}
}

// pairs meets two faults at a time, chosen by the seed, for a while.
func pairs(d time.Duration) func(context.Context, *stand) error {
	return func(ctx context.Context, st *stand) error {
		var cells []cell
		for _, c := range table() {
			// The sweeper's crash points and the databases' end are no company: the one waits for half a minute, the other for
			// every process.
			if c.elsewhere == "" && (c.on == "" || c.on == st.place) && (st.sweeper || !c.lossy && c.stage != "sweeper") && c.how != "with every process at once" &&
				(c.how != "disk full" || st.small != "") && c.hold < 70*time.Second && !strings.Contains(c.how, "ten minutes") {
				cells = append(cells, c)
			}
		}
		until := time.Now().Add(d)
		for time.Now().Before(until) && ctx.Err() == nil {
			st.mu.Lock()
			a, b := cells[st.dice.IntN(len(cells))], cells[st.dice.IntN(len(cells))]
			st.mu.Unlock()
			if a.rules != "" && b.rules != "" || a.fault == b.fault && a.stage == b.stage || a.touches(b) {
				continue
			}
			errs := make(chan error, 2)
			for _, c := range []cell{a, b} {
				go func() { errs <- c.meet(ctx, st) }()
			}
			// What could not be done because of the other fault was met all the same; a promise is kept in company, too.
			if err := errors.Join(<-errs, <-errs); errors.Is(err, errPromise) {
				return err
			} else if err != nil {
				st.note("in vain: %v", err)
			}
		}
		return ctx.Err()
	}
}

// insist is meet, and again when the fault could not be brought about, since what the one before did to a server may not be over.
func (c cell) insist(ctx context.Context, st *stand) (err error) {
	for range 3 {
		if err = c.meet(ctx, st); err == nil || errors.Is(err, errPromise) || errors.Is(err, errNoSmall) || ctx.Err() != nil {
			return err
		}
		st.note("in vain, again: %v", err)
		pause(ctx, 5*time.Second)
	}
	return err
}

// errPromise is wrapped when a process did not do what it has to do by itself.
var errPromise = errors.New("a promise was broken")

// touches says whether two faults want to start and stop the same server.
func (c cell) touches(d cell) bool {
	both := func(s string) bool { return strings.HasPrefix(c.fault, s) && strings.HasPrefix(d.fault, s) }
	return both("broker") || both("database")
}

// storm kills processes at the crash points, over and over, until so many have died and each point was passed by one of them.
// On servers two processes of the api and two notifiers die by turns, and the one relay.
func storm(kills int) func(context.Context, *stand) error {
	return func(ctx context.Context, st *stand) error {
		if err := st.fault(ctx, unknowns); err != nil {
			return err
		}
		for _, m := range st.with("relay")[1:] { // a relay that does not lead passes no point
			m.spare = true
			m.addr.Store(nil)
			if err := m.stop(ctx); err != nil {
				return err
			}
		}
		limit, cancel := context.WithTimeout(ctx, 8*time.Minute)
		defer cancel()
		var all sync.WaitGroup
		errs := make(chan error, len(st.members))
		for i, m := range st.members {
			if m.spare {
				continue
			}
			dice := rand.New(rand.NewPCG(st.dice.Uint64(), uint64(i)))
			all.Go(func() { errs <- st.die(limit, m, kills, dice) })
		}
		all.Wait()
		close(errs)
		var err error
		for e := range errs {
			err = errors.Join(err, e)
		}
		for _, m := range st.members {
			m.spare = false
		}
		for _, p := range points {
			if st.reached[p.name] == 0 && err == nil {
				err = fmt.Errorf("nobody ever died at %s", p.name)
			}
		}
		if err == nil && limit.Err() != nil && int(st.kills.Load()) < kills {
			err = fmt.Errorf("only %d of %d deaths within the time", st.kills.Load(), kills)
		}
		return errors.Join(err, ctx.Err())
	}
}

// die lets one member die until there were enough deaths in all and everybody's points have been passed: without an API there is
// nothing that a notifier could pass.
func (st *stand) die(ctx context.Context, m *member, kills int, dice *rand.Rand) error {
	var mine []point
	for _, p := range points {
		if strings.Contains(m.roles, p.role) {
			mine = append(mine, p)
		}
	}
	dice.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
	for n := 0; ctx.Err() == nil; n++ {
		if int(st.kills.Load()) >= kills && len(st.unreached(points)) == 0 {
			break
		}
		left := st.unreached(mine)
		p := mine[n%len(mine)]
		nth := 1 + dice.IntN(4)
		if n >= len(mine) && len(left) > 0 { // what was not passed in time gets more turns
			p, nth = left[dice.IntN(len(left))], 1
		}
		died, err := m.dieAt(ctx, p.name, nth, deathLimit)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if !died {
			st.note("%s did not pass %s %d times in %s, and is killed", m.name, p.name, nth, deathLimit)
		}
	}
	m.kill()
	return nil
}

// deathLimit is how long a process may take until it passes its point.
const deathLimit = 8 * time.Second

func (st *stand) unreached(ps []point) (left []point) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, p := range ps {
		if st.reached[p.name] == 0 {
			left = append(left, p)
		}
	}
	return left
}

// build makes the binary that listens to sabotage.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "ansim")
	if _, err := goTool(ctx, "build", "-tags", "sabotage", "-o", binary, "ansim/cmd/ansim"); err != nil {
		return "", err
	}
	return binary, nil
}
