package page

import (
	"fmt"
	"time"
)

// Moment is how a page says a time.
type Moment struct {
	Text     string // with the day
	Clock    string // without it
	Day      string // without the time of day
	Relative string // how far from now
	Exact    string // without the day, to the second
	Machine  string // for <time datetime>
}

var koreanDays = [...]string{"일", "월", "화", "수", "목", "금", "토"}

// When is t in the zone that it is in, as people say it, and how far it is from now.
func When(l Language, t, now time.Time) Moment {
	m := Moment{Relative: Relative(l, t.Sub(now)), Exact: t.Format("15:04:05"), Machine: t.Format(time.RFC3339)}
	if l == English {
		m.Day, m.Clock = t.Format("Monday 2 January 2006"), t.Format("3:04 pm")
		m.Text = m.Day + ", " + m.Clock
		return m
	}
	m.Day = fmt.Sprintf("%d년 %d월 %d일(%s)", t.Year(), t.Month(), t.Day(), koreanDays[t.Weekday()])
	half, hour := "오전", t.Hour()
	if hour >= 12 {
		half, hour = "오후", hour-12
	}
	if hour == 0 {
		hour = 12
	}
	m.Clock = fmt.Sprintf("%s %d시", half, hour)
	if t.Minute() != 0 {
		m.Clock += fmt.Sprintf(" %d분", t.Minute())
	}
	m.Text = m.Day + " " + m.Clock
	return m
}

// unit is a span of time as people count it.
type unit struct {
	size   time.Duration
	ko, en string
}

var units = []unit{{24 * time.Hour, "일", "day"}, {time.Hour, "시간", "hour"}, {time.Minute, "분", "minute"}, {time.Second, "초", "second"}}

// Span says how long d is, in its largest unit, rounded: "3 minutes". Less than a second is one.
func Span(l Language, d time.Duration) string {
	d = max(d.Abs(), time.Second)
	for i, u := range units {
		n := int((d + u.size/2) / u.size)
		if d < u.size || n == 0 {
			continue
		}
		if i > 0 && time.Duration(n)*u.size >= units[i-1].size { // 59.6 minutes are an hour
			u, n = units[i-1], 1
		}
		if l != English {
			return fmt.Sprintf("%d%s", n, u.ko)
		}
		if n == 1 {
			return "1 " + u.en
		}
		return fmt.Sprintf("%d %ss", n, u.en)
	}
	return ""
}

// Relative says how far from now something is that is d ahead, or behind where d is negative: "in 3 days", "3 days ago".
func Relative(l Language, d time.Duration) string {
	span := Span(l, d)
	switch {
	case l == English && d < 0:
		return span + " ago"
	case l == English:
		return "in " + span
	case d < 0:
		return span + " 전"
	}
	return span + " 뒤"
}
