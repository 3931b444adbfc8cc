package rush

import (
	"fmt"
	"time"
)

// Speech says the report's sentences in its language.
type Speech struct{ korean bool }

// say gives a sentence, which is known by its English form, with its arguments, which are strings. What has no Korean form, as an
// error's own words, stays as it is.
func (w Speech) say(english string, args ...any) string {
	sentence := english
	if w.korean {
		if k, ok := korean[english]; ok {
			sentence = k
		}
	}
	if len(args) == 0 {
		return sentence
	}
	return fmt.Sprintf(sentence, args...)
}

// seconds writes a time as people say it.
func (w Speech) seconds(s float64) string {
	if !w.korean {
		return seconds(s)
	}
	switch d := time.Duration(s * float64(time.Second)); {
	case s < 0.0995:
		return fmt.Sprintf("%.3f초", s)
	case s < 100:
		return fmt.Sprintf("%.1f초", s)
	case d < 3*time.Hour && int(s)%60 != 0 && s < 1000:
		return fmt.Sprintf("%d분 %d초", int(s)/60, int(s)%60)
	case d < 3*time.Hour:
		return fmt.Sprintf("%.0f분", s/60)
	}
	return fmt.Sprintf("%.0f시간", s/3600)
}

// korean are the report's sentences. A test finds those that are missing.
var korean = map[string]string{
	"The night of 19 July 2021, again": "2021년 7월 19일 밤을 다시",

	"The night was stopped before anybody came.":                                                    "아무도 오기 전에 실험을 멈췄습니다.",
	"The night was stopped before its end. Until then %s people had come, and %s had a place.":      "실험을 끝까지 하지 않고 멈췄습니다. 그때까지 %s명이 왔고, %s명이 예약했습니다.",
	"%s people came at once. %s have a place, and a text about it was sent for every one of them.":  "%s명이 한꺼번에 왔습니다. %s명이 예약했고, 모두에게 그 예약에 관한 문자를 보냈습니다.",
	"%s people came at once. %s have a place. Not everything went as promised: see below.":          "%s명이 한꺼번에 왔고 %s명이 예약했습니다. 약속대로 되지 않은 것이 있습니다. 아래를 보십시오.",
	"The night was stopped before the gate opened.":                                                 "문이 열리기 전에 실험을 멈췄습니다.",
	"In July 2021 the site told those who waited that it would take %s hours.":                      "2021년 7월 그 사이트는 기다리는 사람들에게 %s시간이 걸린다고 알렸습니다.",
	"Here the text of the last of those with a place was sent after %s.":                            "여기서는 예약한 사람 가운데 마지막 사람의 문자를 %s 뒤에 보냈습니다.",
	"Here, of those who were told, the text of the last was sent after %s.":                         "여기서는 문자를 보낸 사람 가운데 마지막 사람의 문자를 %s 뒤에 보냈습니다.",
	"Asked to come were %s people, %s %% of the 337,620 who waited that night; the service ran %s.": "이 실험에는 %s명을 불렀습니다. 그날 밤 기다린 337,620명의 %s%%입니다. 서비스는 %s 동작했습니다.",
	"on a PostgreSQL and an Apache Kafka":                                                           "PostgreSQL과 Apache Kafka를 써서",
	"in one process, with SQLite and an embedded Kafka":                                             "SQLite와 내장 Kafka를 써서 프로세스 하나로",

	"of %s with a place: a text about it was sent; %s have the confirmation on their phone, as the receipts say": "예약에 관한 문자를 보낸 사람 (예약한 사람 %s명). 예약 확인 문자가 전화에 도착한 것이 확인된 사람 %s명",
	"from click to text for half of them":                    "누른 때부터 문자를 보낼 때까지 (절반이 이 안에)",
	"from click to text for half of them; %s for 99 of 100":  "누른 때부터 문자를 보낼 때까지 (절반이 이 안에). 100명 중 99명은 %s 안에",
	"with a place to whom no text was sent; %s texts lost":   "예약했지만 문자를 보내지 못한 사람. 잃어버린 문자 %s건",
	"second copies; %s risked on purpose after lost answers": "두 번 보낸 문자. 응답을 잃어 알고도 다시 보낸 것 %s건",
	"places given twice":                                     "두 번 팔린 자리",
	"texts about a place that nobody was told of":            "없는 예약을 알린 문자",

	"How long until people’s texts were sent": "문자를 보내기까지 걸린 시간",
	"From the click to the moment at which the phone network took the first text about the place, for %s people. Who clicked and was told to come again is counted from the first click.": "%s명이 누른 순간부터 통신망이 첫 예약 문자를 받은 순간까지입니다. 다시 오라는 답을 받은 사람도 처음 누른 때부터 셉니다.",
	"The same as a table":         "같은 내용을 표로",
	"time":                        "시간",
	"people":                      "사람",
	"up to %s":                    "%s까지",
	"over %s":                     "%s 넘게",
	"%s to %s":                    "%s~%s",
	"seen by people":              "사람이 겪은 시간",
	"half":                        "절반",
	"9 of 10":                     "10명 중 9명",
	"99 of 100":                   "100명 중 99명",
	"999 of 1,000":                "1,000명 중 999명",
	"the slowest":                 "가장 늦은 사람",
	"click to “you have a place”": "누른 뒤 “예약되었습니다”까지",
	"click to text":               "누른 뒤 문자까지",
	"“am I booked?”, asked by %s people meanwhile": "그동안 %s명이 물은 “예약됐나요?”",

	"The night, second by second": "그 밤의 1초 1초",
	"Clicks, bookings, texts and answers to “am I booked?” a second, from the opening of the gate on. Numbers at the top are the faults below.": "문이 열린 때부터 1초마다의 누름, 예약, 문자, “예약됐나요?”에 대한 답. 위의 숫자는 아래에 적은 장애입니다.",
	"a second":       "초당",
	"clicks":         "누름",
	"bookings":       "예약",
	"texts":          "문자",
	"What waited":    "기다린 것",
	"at that moment": "그 순간",
	"Changes that were not yet in Kafka, those in Kafka that the notifiers had not taken in (Kafka's lag, as the brokers said within the last five seconds), texts that were not yet sent, and texts of which the answer was lost, at each second. A gap is where no process could say.": "아직 Kafka에 없는 변경, Kafka에 있으나 알림 프로세스가 아직 가져가지 않은 변경(Kafka 지연, 브로커가 최근 5초 안에 알린 값), 아직 보내지 않은 문자, 응답을 잃은 문자를 1초마다 나타냅니다. 선이 끊긴 곳은 어느 프로세스도 말해 주지 못한 때입니다.",
	"not in Kafka yet":              "아직 Kafka에 없음",
	"texts not sent yet":            "아직 보내지 않은 문자",
	"answers lost":                  "잃은 응답",
	"seconds after the gate opened": "문이 열린 뒤의 초",
	"when":                          "언제",
	"%s s":                          "%s초",
	"%s to %s s":                    "%s~%s초",
	"under 1 s":                     "1초 미만",

	"Who came, and what they were told":                           "온 사람들과 그들이 들은 답",
	"people who came":                                             "온 사람",
	"have a place":                                                "예약한 사람",
	"… of them, booked for by somebody else":                      "… 그중 다른 사람이 대신 예약",
	"… of them, gave it back":                                     "… 그중 취소",
	"refused: %s":                                                 "거절: %s",
	"not among those who were called":                             "대상이 아님",
	"it was not open yet":                                         "아직 열리지 않음",
	"the time to book was over":                                   "기간이 끝남",
	"no place was free":                                           "자리가 없음",
	"had a place already":                                         "이미 예약됨",
	"an answer with status %s":                                    "상태 %s로 답함",
	"got no answer":                                               "답을 받지 못한 사람",
	"requests for a place":                                        "예약 요청",
	"requests that ask “am I booked?”":                            "예약 여부를 묻는 요청",
	"requests that give a place back":                             "취소 요청",
	"… that are on their phones, as it says":                      "… 통신망에 따르면 전화에 도착한 것",
	"in Kafka, not taken in yet":                                  "Kafka에 있고 아직 가져가지 않음",
	"look-ups":                                                    "조회",
	"… before the gate opened, each refused":                      "… 문이 열리기 전의 요청. 모두 거절됨",
	"… told to come again, since too many came":                   "… 사람이 너무 많아 다시 오라는 답",
	"… whose answer never came; asked again with the same key":    "… 답이 오지 않아 같은 키로 다시 물음",
	"… for a time that was full; another was offered":             "… 자리가 없던 시간. 다른 시간을 제안함",
	"texts that the phone network took":                           "통신망이 받은 문자",
	"… of which it has not told the service yet what became":      "… 도착 여부를 아직 서비스에 알리지 않은 것",
	"from the first click to the last text":                       "첫 누름부터 마지막 문자까지",
	"… to the last receipt, which says that a phone has its text": "… 전화가 문자를 받았다는 마지막 확인까지",
	"%s, %s people a second":                                      "%s, 초당 %s명",
	"Answers that contradict each other:":                         "서로 어긋나는 답:",

	"What was broken on purpose": "일부러 낸 장애",
	"Nothing.":                   "없음.",
	"no.":                        "번호",
	"what":                       "무엇",
	"lasted":                     "지속",
	"texts a second before":      "이전 초당 문자",
	"during":                     "장애 중",
	"longest without a text, until 10 s after it or the next": "문자가 없던 가장 긴 시간 (끝난 뒤 10초 또는 다음 장애까지)",
	"what it hit":                 "영향을 받은 것",
	"%s requests to the provider": "발송 업체에 보낸 요청 %s건",
	"%s; meanwhile %s requests of the crowd got no answer": "%s. 그동안 이용자의 요청 %s건이 답을 받지 못함",
	"Without a text: whole seconds in which the phone network took none, though somebody with a place waited for theirs; – where nobody waited. Texts a second before: of the five seconds before it.": "문자가 없던 시간은 예약한 사람이 문자를 기다리는데도 통신망이 문자를 한 건도 받지 않은 온전한 초만 셉니다. 기다린 사람이 없으면 –입니다. 이전 초당 문자는 장애 전 5초 동안의 값입니다.",
	"failed: %s": "실패: %s",

	"the provider says that there are too many requests, to four of five":                         "발송 업체가 다섯 요청 중 넷에 요청이 너무 많다고 답함",
	"a process of the API is killed, and started again after 1 s":                                 "API 프로세스 하나를 강제 종료하고 1초 뒤에 다시 시작함",
	"the provider takes texts and breaks the connection before it answers, one in fifty":          "발송 업체가 쉰 건 중 하나에서 문자를 받고 답하기 전에 연결을 끊음",
	"a relay is killed, and started again after 1 s":                                              "릴레이 하나를 강제 종료하고 1초 뒤에 다시 시작함",
	"a notifier is killed, and started again after 1 s":                                           "알림 프로세스 하나를 강제 종료하고 1초 뒤에 다시 시작함",
	"the service, which is one process here, is killed, and started again after 1 s":              "여기서는 프로세스 하나인 서비스를 강제 종료하고 1초 뒤에 다시 시작함",
	"one notifier more is started":                                                                "알림 프로세스를 하나 더 시작함",
	"the provider takes texts, answers with an error page and calls nobody back, one in twenty":   "발송 업체가 스무 건 중 하나에서 문자를 받고도 오류 페이지로 답하고 결과를 알려 주지 않음",
	"the provider takes texts and never answers, one in ten, and shows them in its list 3 s late": "발송 업체가 열 건 중 하나에서 문자를 받고 답하지 않으며, 목록에도 3초 늦게 보임",
	"the provider refuses every connection":                                                       "발송 업체가 모든 연결을 거부함",

	"What was promised": "약속한 것",
	"A lost answer was looked up %s to %s after it was missed, where the service by default takes from 5 s to 3 minutes: the network here lists a text at once.": "받지 못한 응답은 %s에서 %s 뒤에 다시 조회했습니다. 서비스의 기본값은 5초에서 3분입니다. 여기서 쓴 통신망은 문자를 바로 목록에 올리기 때문입니다.",
	"%s promises were checked, and %s of them hold.":                                "약속 %s가지를 확인했고, 그중 %s가지가 지켜졌습니다.",
	"Of %s some was still open when the night ended.":                               "%s가지는 실험이 끝날 때 아직 진행 중인 것이 있었습니다.",
	"For %s more there was nothing to check (%s).":                                  "확인할 것이 없던 약속이 %s가지 있습니다 (%s).",
	"I14, that the topic and the outbox hold the same events, was not asked about.": "토픽과 아웃박스의 이벤트가 같다는 약속(I14)은 확인하지 않았습니다.",
	"the topic and the outbox hold the same events":                                 "토픽과 아웃박스에는 같은 이벤트가 있다",
	"%s violations were found.":                                                     "어긋난 것이 %s건 있습니다.",
	"promise":                                                                       "약속",
	"checked":                                                                       "확인한 수",
	"broken":                                                                        "깨진 수",
	"open":                                                                          "진행 중",

	"every reservation has one outbox row a change, and each of them ended in an accepted text or in an exception that says why": "모든 예약은 변경마다 아웃박스 기록이 하나씩 있고, 그 하나하나는 업체가 받은 문자로, 또는 이유를 밝힌 예외로 끝났다",
	"a text is attempted again only when the one before was not taken, was not delivered, or was looked for in vain":             "문자는 앞의 것이 접수되지 않았거나, 도착하지 않았거나, 찾아도 없을 때만 다시 시도한다",
	"no slot has more reservations than places, each counts right, and nobody has two in a programme":                            "어느 시간도 자리보다 예약이 많지 않고 수가 맞으며, 한 프로그램에 예약이 둘인 사람은 없다",
	"no text without a committed cause, and none that began after a cancel or a change":                                          "확정된 이유가 없는 문자는 없고, 취소나 변경 뒤에 시작된 옛 문자도 없다",
	"one idempotency key made one reservation, and what was acknowledged exists":                                                 "멱등 키 하나는 예약 하나를 만들었고, 확인해 준 것은 모두 있다",
	"all attempts of a text say the same, and no two texts of different people do":                                               "한 문자의 모든 시도는 같은 말을 하고, 다른 사람의 문자와는 다르다",
	"an attempt is where its receipts have brought it, and a message is where its attempts are":                                  "시도의 상태는 받은 확인과 맞고, 문자의 상태는 그 시도들과 맞다",
	"an unknown outcome is resolved, or held for a person, within half an hour":                                                  "결과를 모르는 문자는 30분 안에 밝혀지거나 사람에게 넘겨진다",
	"what staff send again is in their trail, one text a click at most":                                                          "직원이 다시 보낸 것은 감사 기록에 있고, 누를 때마다 문자는 많아야 하나다",
	"the trail of what staff did is as it was written":                                                                           "직원의 감사 기록은 적힌 그대로다",
	"after a fault the backlog drains: what is not sent yet is open, and what is past its time breaks I1 or I8":                  "장애 뒤에 밀린 일은 줄어든다. 아직 보내지 않은 것은 진행 중이고, 때를 넘긴 것은 I1이나 I8을 어긴 것이다",
	"the last text to a person is about the last state of the reservation":                                                       "각 사람의 마지막 문자는 예약의 마지막 상태를 알린다",
	"the phone network took no text twice, but for one whose answer was lost or that was not delivered":                          "통신망은 응답을 잃었거나 도착하지 않은 것 말고는 같은 문자를 두 번 받지 않았다",
	"each text that the phone network took went to its reservation's number and says what its version says":                      "통신망이 받은 문자는 모두 그 예약의 번호로 갔고 그 판의 내용과 같다",
	"the phone network took the texts that we count as accepted, and no other":                                                   "통신망이 받은 문자는 우리가 접수된 것으로 세는 문자와 같다",

	"What it cost":   "든 비용",
	"process":        "프로세스",
	"network":        "통신망",
	"crowd":          "이용자들",
	"processor time": "CPU 시간",
	"memory":         "메모리",
	"not known":      "알 수 없음",
	"Of memory: the most that each process held; of PostgreSQL and Kafka, which were there before, what they held at the end.": "메모리는 각 프로세스가 가장 많이 쓴 양이며, 먼저 떠 있던 PostgreSQL과 Kafka는 끝날 때의 양입니다.",
	"Together %s.": "모두 %s.",
	"Together %s of processor time, %s ms for each booking.":                  "CPU 시간은 모두 %s, 예약 하나에 %s밀리초입니다.",
	"The database takes %s.":                                                  "데이터베이스의 크기는 %s입니다.",
	"Before the first booking it took %s; that is %s bytes for each booking.": "첫 예약 전에는 %s였으므로 예약 하나에 %s바이트입니다.",
	fmt.Sprintf(unseen, "PostgreSQL"):                                         "PostgreSQL의 비용은 표에 없습니다. 여기서 들여다볼 수 없습니다.",
	fmt.Sprintf(unseen, "Kafka"):                                              "Kafka의 비용은 표에 없습니다. 여기서 들여다볼 수 없습니다.",
	"the program was built from files that are not committed":                 "커밋되지 않은 파일로 만든 프로그램입니다.",

	"What was asked, of what":                                 "무엇에 무엇을 물었나",
	"%s, within %s, half of them in the first tenth; seed %s": "%s명, %s 안에, 절반은 처음 10분의 1 동안; 시드 %s",
	"faults":  "장애",
	"none":    "없음",
	"night":   "그 밤만큼",
	"harsh":   "더 가혹하게",
	"began":   "시작",
	"machine": "기계",
	"%s processors, %s, for everything together: service, database, Kafka, phone network and crowd": "프로세서 %s개, %s. 서비스, 데이터베이스, Kafka, 통신망, 이용자들이 모두 함께 씁니다",
	"service":                 "서비스",
	"embedded":                "내장",
	"database and broker":     "데이터베이스와 브로커",
	"program":                 "프로그램",
	"commit not known":        "커밋을 알 수 없음",
	"%s GiB of memory":        "메모리 %s GiB",
	"kernel %s":               "커널 %s",
	"%s, until it was killed": "%s, 강제 종료 전까지",
	"%s, started again":       "%s, 다시 시작한 뒤",
	"commit %s":               "커밋 %s",

	"How to read this": "읽는 법",
	"How many people waited that night is known: 337,620. What they did is known in kind, not in number: how many pressed again, had a child click, asked or cancelled is an assumption, the same in each run. The two minutes before the gate are played in seconds.": "그날 밤 기다린 사람의 수는 337,620명으로 알려져 있습니다. 그들이 무엇을 했는지는 종류만 알려져 있고 수는 알려져 있지 않습니다. 몇 명이 다시 누르고, 자녀에게 맡기고, 묻고, 취소했는지는 가정이며 매번 같습니다. 문이 열리기 전 2분은 몇 초로 줄였습니다.",
	"The phone network is a stand-in that takes a text at once. A real provider limits how many texts a sender may hand over a second; with such a limit the last text is later by what that limit makes of it.":                                                       "통신망은 문자를 바로 받는 대역입니다. 실제 업체는 초당 맡길 수 있는 문자의 수를 제한하므로, 마지막 문자는 그만큼 늦어집니다.",
	"A person whose request waits for the crowd's own hands is counted from the click, so that a slow crowd does not make the service look fast.":                                                                                                                      "실험 쪽 일손이 모자라 기다린 사람도 누른 때부터 셉니다. 느린 실험이 서비스를 빨라 보이게 하지 않습니다.",
	"Whether the promises hold is the finding of an audit that reads the database, the phone network's log and, on an Apache Kafka, the topic; it speaks of this run. What people were told is the crowd's own history.":                                               "약속이 지켜졌는지는 데이터베이스와 통신망의 기록, 그리고 Apache Kafka를 쓸 때는 토픽까지 읽은 감사의 결과이며, 이번 실험에 대한 말입니다. 사람들이 들은 답은 이용자 쪽의 기록에서 왔습니다.",
}
