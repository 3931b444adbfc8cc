package rush

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// person is one who wants a place, and what they have in mind. It follows from the seed and the number alone.
type person struct {
	N     int
	Click time.Duration // when they click, after the gate has opened
	// Knock is when they try for the first time, before the gate opens; 0: they wait for it.
	Knock    time.Duration
	Slot     int  // the place that they would like best, an index
	Booker   bool // somebody clicks for them: a child for a parent
	Devices  int  // on which that one clicks
	Twice    bool // presses again at once
	Asks     bool // asks afterwards whether it is true
	Cancels  bool
	Outside  bool // was not born in the years that are called
	English  bool
	Patience time.Duration // between having no answer and asking again
}

// The crowd's habits, in shares of all people. What is known of the night is that all of this happened; how often, nobody has
// published, so these are assumptions, and the report says so.
const (
	shareEarly   = 0.05 // were there two minutes before the gate
	shareBooker  = 0.08 // have it done by a child
	shareTwice   = 0.15 // press again
	shareAsks    = 0.20 // ask whether they are booked
	shareCancels = 0.02
	shareOutside = 0.01 // were not called
	shareEnglish = 0.05
	// shareAtOnce come within the first tenth of the rush, the others ever fewer until its end.
	shareAtOnce = 0.5
)

// invent is person n of a crowd that comes within over, when there are slots places to choose from.
func invent(seed uint64, n int, over time.Duration, slots int) person {
	dice := rand.New(rand.NewPCG(seed, uint64(n)))
	chance := func(share float64) bool { return dice.Float64() < share }
	p := person{N: n, Devices: 1}
	at := dice.Float64()
	if chance(shareAtOnce) {
		at *= 0.1
	} else {
		at = 0.1 + 0.9*(1-math.Sqrt(1-at)) // a density that falls to nothing
	}
	p.Click = time.Duration(at * float64(over))
	early := chance(shareEarly)
	knock := time.Duration((0.1 + 0.9*dice.Float64()) * float64(lead))
	if early {
		p.Knock, p.Click = -knock, time.Duration(dice.Float64()*float64(300*time.Millisecond))
	}
	// The first days are wanted most.
	p.Slot = min(slots-1, int(float64(slots)*math.Pow(dice.Float64(), 1.5)))
	if chance(shareBooker) {
		p.Booker, p.Devices = true, 1+dice.IntN(3)
	}
	p.Twice, p.Asks, p.Cancels = chance(shareTwice), chance(shareAsks), chance(shareCancels)
	p.Outside, p.English = chance(shareOutside), chance(shareEnglish)
	p.Patience = time.Second + time.Duration(dice.Float64()*float64(2*time.Second))
	return p
}

// identity is what the client of the API would have from its login.
func (p person) identity() string { return fmt.Sprintf("rush-%d", p.N) }

// The numbers are in ranges that are in use in Korea and away from the phone network's magic ones: 010-2000-0000 and up for
// residents, 010-6000-0000 and up for who books for them.
func (p person) phone() string       { return fmt.Sprintf("010-%04d-%04d", 2000+p.N/10000, p.N%10000) }
func (p person) bookerPhone() string { return fmt.Sprintf("010-%04d-%04d", 6000+p.N/10000, p.N%10000) }

// MaxPeople is how many people there are numbers for.
const MaxPeople = 30_000_000

func (p person) birthDate() string {
	if p.Outside {
		return "1985-05-05"
	}
	return time.Date(1967, 1, 1+p.N%731, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) // 1967 and 1968
}

func (p person) name() string {
	const family, given = "김이박최정강조윤장임", "영숙정희순자미경성수현우"
	f, g := []rune(family), []rune(given)
	if p.English {
		return "Grace Kim"
	}
	return string([]rune{f[p.N%len(f)], g[p.N%len(g)], g[(p.N/7)%len(g)]})
}

// body is the request that books slot.
func (p person) body(slot string) map[string]any {
	language := "ko"
	if p.English {
		language = "en"
	}
	b := map[string]any{"slot_id": slot, "language": language, "resident": map[string]string{
		"identity": p.identity(), "name": p.name(), "birth_date": p.birthDate(), "phone": p.phone()}}
	if p.Booker {
		b["booked_by"] = map[string]string{"name": "박지우", "phone": p.bookerPhone()}
	}
	return b
}
