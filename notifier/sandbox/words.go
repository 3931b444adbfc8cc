package sandbox

// words are the page's, in one language.
type words struct {
	Lang, Title, Lead, Other, OtherName, Skip    string
	Taken, Way, Arrived, Bad, Phones             string
	Queued, Sent, Delivered, Failed              string
	Search, SearchHint, Find, All, Refresh, Live string
	Empty, EmptyHint, NoMatch, Older, Hidden     string
	Faults, FaultsHint, Count, One, Ten, Endless string
	Active, Clear, Fired, FiredOf, Same          string
	Violation, Magic, MagicHint, From, ForEver   string
}

func (t words) pick(ko, en string) string {
	if t.Lang == "en" {
		return en
	}
	return ko
}

var korean = words{
	Lang: "ko", Title: "내 노트북 속 통신망", Lead: "진짜 통신사 대신 문자를 받아 전화기에 보여 줘요. 실제로 나가는 문자는 없어요.",
	Other: "en", OtherName: "English", Skip: "전화기로 건너뛰기",
	Taken: "접수한 문자", Way: "가는 중", Arrived: "도착", Bad: "못 간 문자", Phones: "전화기",
	Queued: "접수", Sent: "전송됨", Delivered: "도착", Failed: "실패",
	Search: "전화번호로 찾기", SearchHint: "뒷자리만 넣어도 돼요", Find: "찾기", All: "모두 보기", Refresh: "새로 고침", Live: "실시간",
	Empty: "아직 온 문자가 없어요", EmptyHint: "예약이 되면 여기 전화기에 문자가 도착해요.", NoMatch: "그 번호로 온 문자가 없어요", Older: "이전 문자 %d통",
	Hidden: "가장 최근 전화기만 보여요. 나머지는 번호로 찾을 수 있어요.",
	Faults: "일부러 고장 내기", FaultsHint: "통신망은 가끔 이래요. 눌러 보고 예약한 사람이 어떤 문자를 받는지 보세요.",
	Count: "몇 통에", One: "다음 1통", Ten: "다음 10통", Endless: "멈출 때까지",
	Active: "지금 켜진 고장", Clear: "모두 끄기", Fired: "%d번", FiredOf: "%d / %d번", Same: "같은 문자가 두 번",
	Violation: "보내면 안 되는 Idempotency-Key가 요청에 있었어요.", Magic: "마법 번호",
	MagicHint: "이 번호들은 늘 정해진 대로 끝나요.", From: "발신", ForEver: "도착 알림이 오지 않아요",
}

var english = words{
	Lang: "en", Title: "A phone network on your laptop", Lead: "It takes texts in place of a real carrier and shows them on phones. Nothing leaves this machine.",
	Other: "ko", OtherName: "한국어", Skip: "Skip to the phones",
	Taken: "texts taken", Way: "on their way", Arrived: "arrived", Bad: "not arrived", Phones: "phones",
	Queued: "Queued", Sent: "Sent", Delivered: "Delivered", Failed: "Failed",
	Search: "Find a phone", SearchHint: "the last digits will do", Find: "Find", All: "Show all", Refresh: "Refresh", Live: "live",
	Empty: "No texts yet", EmptyHint: "When someone is booked, the text arrives on a phone here.", NoMatch: "No texts to that number", Older: "%d earlier texts",
	Hidden: "Only the most recent phones are shown. Find the others by number.",
	Faults: "Break it on purpose", FaultsHint: "Networks do this sometimes. Press one, and see what the person who booked gets.",
	Count: "For how many", One: "the next 1", Ten: "the next 10", Endless: "until stopped",
	Active: "Faults that are on", Clear: "Turn all off", Fired: "%d times", FiredOf: "%d of %d", Same: "same text twice",
	Violation: "Requests carried an Idempotency-Key, which must never be sent.", Magic: "Magic numbers",
	MagicHint: "These numbers always end the same way.", From: "from", ForEver: "Delivered never comes",
}
