package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// person is an invented resident.
type person struct {
	identity, name, birthDate, phone, language string
}

var (
	familyNames = []string{"김", "이", "박", "최", "정", "강", "조", "윤", "장", "임", "한", "오", "서", "신", "권", "황", "안", "송", "류", "홍"}
	givenNames  = []string{"영숙", "정희", "순자", "미경", "영호", "성수", "정숙", "영철", "현숙", "상철", "경희", "명숙", "동현", "은주",
		"병철", "혜경", "재호", "선영", "기영", "미숙", "종수", "은경", "영수", "길동", "지연", "진호"}
	englishNames = []string{"Grace Kim", "Daniel Park", "Helen Choi", "James Lee", "Susan Jung"}
)

// invent makes n people born in 1967 and 1968, whose numbers are invented too. Every run has new identities, so a folder may
// be used again; one in ten reads English.
func invent(n int, run string) []person {
	people := make([]person, n)
	first := time.Date(1967, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range people {
		p := person{
			identity:  "demo-" + run + "-" + strconv.Itoa(i),
			name:      familyNames[rand.IntN(len(familyNames))] + givenNames[rand.IntN(len(givenNames))],
			birthDate: first.AddDate(0, 0, rand.IntN(731)).Format(time.DateOnly),
			phone:     fmt.Sprintf("010-%04d-%04d", 2000+rand.IntN(3900), rand.IntN(10000)), // a range in use, away from the sandbox's magic 010-000…
			language:  "ko",
		}
		if i%10 == 9 {
			p.name, p.language = englishNames[rand.IntN(len(englishNames))], "en"
		}
		people[i] = p
	}
	return people
}
