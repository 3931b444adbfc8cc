package rush

import (
	"fmt"
	"strings"
	"time"

	"ansim/booking"
)

// districts are Seoul's 25, each with its health centre.
var districts = strings.Fields(`종로구 Jongno-gu 중구 Jung-gu 용산구 Yongsan-gu 성동구 Seongdong-gu 광진구 Gwangjin-gu 동대문구 Dongdaemun-gu
	중랑구 Jungnang-gu 성북구 Seongbuk-gu 강북구 Gangbuk-gu 도봉구 Dobong-gu 노원구 Nowon-gu 은평구 Eunpyeong-gu 서대문구 Seodaemun-gu
	마포구 Mapo-gu 양천구 Yangcheon-gu 강서구 Gangseo-gu 구로구 Guro-gu 금천구 Geumcheon-gu 영등포구 Yeongdeungpo-gu 동작구 Dongjak-gu
	관악구 Gwanak-gu 서초구 Seocho-gu 강남구 Gangnam-gu 송파구 Songpa-gu 강동구 Gangdong-gu`)

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
	places := 5 * len(hours) * len(districts) / 2
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
	for i := 0; i < len(districts); i += 2 {
		fmt.Fprintf(&b, "  - {id: s%d, name: {ko: %s보건소, en: %s Health Center}}\n", i/2, districts[i], districts[i+1])
	}
	b.WriteString("slots:\n")
	var slots []string
	for day := range 5 {
		for h, hour := range hours {
			for site := range len(districts) / 2 {
				id := fmt.Sprintf("s%d-%d-%d", site, day, h)
				slots = append(slots, id)
				fmt.Fprintf(&b, "  - {id: %s, site: s%d, starts_at: %s, capacity: %d}\n", id, site,
					monday.AddDate(0, 0, day).Add(hour).Format(time.RFC3339), capacity)
			}
		}
	}
	p, err := booking.ParseProgramme(strings.NewReader(b.String()))
	return p, slots, err
}
