package main

import (
	"fmt"
	"strings"
	"time"

	"ansim/booking"
)

// districts are Seoul's 25 districts, each with its public health centre.
var districts = []struct{ id, ko, en string }{
	{"jongno", "종로구", "Jongno-gu"}, {"jung", "중구", "Jung-gu"}, {"yongsan", "용산구", "Yongsan-gu"},
	{"seongdong", "성동구", "Seongdong-gu"}, {"gwangjin", "광진구", "Gwangjin-gu"}, {"dongdaemun", "동대문구", "Dongdaemun-gu"},
	{"jungnang", "중랑구", "Jungnang-gu"}, {"seongbuk", "성북구", "Seongbuk-gu"}, {"gangbuk", "강북구", "Gangbuk-gu"},
	{"dobong", "도봉구", "Dobong-gu"}, {"nowon", "노원구", "Nowon-gu"}, {"eunpyeong", "은평구", "Eunpyeong-gu"},
	{"seodaemun", "서대문구", "Seodaemun-gu"}, {"mapo", "마포구", "Mapo-gu"}, {"yangcheon", "양천구", "Yangcheon-gu"},
	{"gangseo", "강서구", "Gangseo-gu"}, {"guro", "구로구", "Guro-gu"}, {"geumcheon", "금천구", "Geumcheon-gu"},
	{"yeongdeungpo", "영등포구", "Yeongdeungpo-gu"}, {"dongjak", "동작구", "Dongjak-gu"}, {"gwanak", "관악구", "Gwanak-gu"},
	{"seocho", "서초구", "Seocho-gu"}, {"gangnam", "강남구", "Gangnam-gu"}, {"songpa", "송파구", "Songpa-gu"},
	{"gangdong", "강동구", "Gangdong-gu"},
}

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
	for _, d := range districts {
		fmt.Fprintf(&b, "  - {id: %s-%s, name: {ko: %s보건소, en: %s Health Center}}\n", d.id, week, d.ko, d.en)
	}
	b.WriteString("slots:\n")
	var slots []string
	for day := range 5 {
		for _, hour := range []time.Duration{9 * time.Hour, 10*time.Hour + 30*time.Minute, 14 * time.Hour, 16 * time.Hour} {
			at := next.AddDate(0, 0, day).Add(hour)
			for _, d := range districts {
				id := d.id + "-" + at.Format("20060102-1504")
				slots = append(slots, id)
				fmt.Fprintf(&b, "  - {id: %s, site: %s-%s, starts_at: %s, capacity: 60}\n", id, d.id, week, at.Format(time.RFC3339))
			}
		}
	}
	p, err := booking.ParseProgramme(strings.NewReader(b.String()))
	return p, slots, err
}
