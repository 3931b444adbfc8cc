package rush

import (
	"fmt"
	"strings"
	"time"

	"ansim/booking"
)

// spare is how many places there are for each person: some wishes cannot be met, and nobody goes without.
const spare = 1.3

// programme is that of the night, for people born 1967 and 1968, which opens at gate. The appointments are in the week after.
// The slots are in the order of their times.
func programme(gate time.Time, people int) (booking.ProgrammeFile, []string, error) {
	zone, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		return booking.ProgrammeFile{}, nil, err
	}
	local := gate.In(zone)
	monday := time.Date(local.Year(), local.Month(), local.Day()+7-(int(local.Weekday())+6)%7, 0, 0, 0, 0, zone)
	hours := []time.Duration{9 * time.Hour, 10*time.Hour + 30*time.Minute, 14 * time.Hour, 16 * time.Hour}
	districts := Districts()
	places := 5 * len(hours) * len(districts)
	capacity := int(float64(people)*spare)/places + 1

	var b strings.Builder
	fmt.Fprintf(&b, `id: night
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: %s
closes_at: %s
rules:
  - {id: born-1967-1968, born_from: 1967-01-01, born_to: 1968-12-31, opens_at: %[1]s}
sites:
`, gate.Format(time.RFC3339Nano), monday.AddDate(0, 0, 6).Format(time.RFC3339))
	for _, d := range districts {
		fmt.Fprintf(&b, "  - {id: %s, name: {ko: %s보건소, en: %s Health Center}}\n", d.ID, d.Ko, d.En)
	}
	b.WriteString("slots:\n")
	var slots []string
	for day := range 5 {
		for h, hour := range hours {
			for _, d := range districts {
				id := fmt.Sprintf("%s-%d-%d", d.ID, day, h)
				slots = append(slots, id)
				fmt.Fprintf(&b, "  - {id: %s, site: %s, starts_at: %s, capacity: %d}\n", id, d.ID,
					monday.AddDate(0, 0, day).Add(hour).Format(time.RFC3339), capacity)
			}
		}
	}
	p, err := booking.ParseProgramme(strings.NewReader(b.String()))
	return p, slots, err
}
