package main

import (
	"fmt"
	"strings"
	"time"

	"ansim/booking"
	"ansim/cmd/rush"
)

// demoProgramme is the programme of the night of 19 July 2021, for people born 1967–1968, whose first week of appointments,
// that of 26 July, is moved to the week after now. Its ids carry that week, so a folder may see several. The window
// contains now.
func demoProgramme(now time.Time) (booking.ProgrammeFile, []string, error) {
	zone, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		return booking.ProgrammeFile{}, nil, err
	}
	local := now.In(zone)
	monday := time.Date(local.Year(), local.Month(), local.Day()-(int(local.Weekday())+6)%7, 0, 0, 0, 0, zone)
	next := monday.AddDate(0, 0, 7)
	week := next.Format("20060102")

	var b strings.Builder
	fmt.Fprintf(&b, `id: covid-2021-50s-%s
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: %s
closes_at: %s
rules:
  - {id: born-1967-1968, born_from: 1967-01-01, born_to: 1968-12-31, opens_at: %[2]s}
sites:
`, week, monday.Format(time.RFC3339), next.AddDate(0, 0, 6).Format(time.RFC3339))
	for _, d := range rush.Districts() {
		fmt.Fprintf(&b, "  - {id: %s-%s, name: {ko: %s보건소, en: %s Health Center}}\n", d.ID, week, d.Ko, d.En)
	}
	b.WriteString("slots:\n")
	var slots []string
	for day := range 5 {
		for _, hour := range []time.Duration{9 * time.Hour, 10*time.Hour + 30*time.Minute, 14 * time.Hour, 16 * time.Hour} {
			at := next.AddDate(0, 0, day).Add(hour)
			for _, d := range rush.Districts() {
				id := d.ID + "-" + at.Format("20060102-1504")
				slots = append(slots, id)
				fmt.Fprintf(&b, "  - {id: %s, site: %s-%s, starts_at: %s, capacity: 60}\n", id, d.ID, week, at.Format(time.RFC3339))
			}
		}
	}
	p, err := booking.ParseProgramme(strings.NewReader(b.String()))
	return p, slots, err
}
