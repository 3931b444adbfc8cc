package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// preset is a fault that the page has a button for.
type preset struct {
	id             string
	ko, en         string
	koHint, enHint string
	rule           Rule
}

type presetView struct{ ID, Name, Hint string }

// presets in the order in which the page offers them. They are read only.
var presets = []preset{
	{"hang", "받고 대답하지 않기", "Take it, but do not answer", "문자는 도착하는데 보낸 쪽은 몰라요", "The text arrives; the sender cannot know", Rule{Answer: AnswerHang}},
	{"drop", "받고 연결 끊기", "Take it, then cut the line", "문자는 도착하는데 대답 대신 끊겨요", "The text arrives; the answer is lost", Rule{Answer: AnswerDrop}},
	{"500", "받고 오류(500)라고 하기", "Take it, but say 500", "문자는 도착하는데 실패했다고 말해요", "The text arrives; the network says it failed", Rule{Answer: Answer500}},
	{"refuse", "읽지 않고 끊기", "Hang up unread", "문자를 받지 않아요", "Nothing is taken", Rule{Answer: AnswerRefuse}},
	{"429", "지금은 많아요(429)", "Too many requests (429)", "받지 않고 1초 뒤에 다시 오라고 해요", "Nothing is taken; come back in a second", Rule{Answer: Answer429, RetryAfter: 1}},
	{"slow", "한 글자씩 대답하기", "Answer one byte at a time", "문자는 도착하는데 대답이 끝나지 않아요", "The text arrives; the answer takes a quarter of an hour", Rule{Answer: AnswerSlow}},
	{"huge", "10MB로 대답하기", "Answer with 10 MB", "문자는 도착하는데 대답이 너무 커요", "The text arrives; the answer is too long to read", Rule{Answer: AnswerHuge}},
	{"list", "목록 조회 막기(503)", "No list of texts (503)", "보낸 쪽이 문자를 찾아볼 수 없어요", "The sender cannot look a text up", Rule{On: OnList, Answer: Answer503}},
	{"lag", "목록에 3초 늦게 보이기", "List three seconds late", "보낸 문자가 목록에 바로 보이지 않아요", "A text is not in the list at once", Rule{ListLag: Duration(3 * time.Second)}},
	{"silent", "도착 알림 보내지 않기", "No delivery receipts", "문자는 도착하는데 알림이 없어요", "The text arrives; no receipt ever comes", Rule{Callbacks: CallbacksNone}},
	{"reordered", "알림 순서 뒤집기", "Receipts in reverse", "도착 알림이 접수 알림보다 먼저 와요", "Delivered comes before queued", Rule{Callbacks: CallbacksReordered}},
	{"off", "전화기 꺼짐(30003)", "Phone is off (30003)", "받았지만 전화기에 닿지 못해요", "Taken, but it never reaches the phone", Rule{Final: "undelivered:30003"}},
}

// setFault answers the page's buttons: it adds one preset, or clears all rules, and shows the page again.
func (p *pages) setFault(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form could not be read", http.StatusBadRequest)
		return
	}
	switch id := r.PostForm.Get("fault"); id {
	case "clear":
		_ = p.s.SetFaults() // no rules are never wrong
	default:
		rule, ok := presetRule(id)
		count, err := strconv.Atoi(r.PostForm.Get("count"))
		if !ok || err != nil || count < 0 || count > 1000 {
			http.Error(w, "no such fault", http.StatusBadRequest)
			return
		}
		rule.Count = count
		if err := p.s.faults.add(rule); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	p.s.store.touch()
	back := url.Values{}
	for _, name := range []string{"q", "lang"} {
		if x := r.PostForm.Get(name); x != "" {
			back.Set(name, x)
		}
	}
	http.Redirect(w, r, "/?"+back.Encode()+"#faults", http.StatusSeeOther)
}

func presetRule(id string) (Rule, bool) {
	for _, pr := range presets {
		if pr.id == id {
			return pr.rule, true
		}
	}
	return Rule{}, false
}

// ruleOf says in words what a rule does: the preset's when it is one, else its fields.
func ruleOf(st RuleState, t words) ruleView {
	v := ruleView{Done: st.Over}
	plain := st.Rule
	plain.Count = 0
	for _, pr := range presets {
		if pr.rule == plain {
			v.What = t.pick(pr.ko, pr.en)
		}
	}
	if v.What == "" {
		v.What = describe(st.Rule)
	}
	if st.Count > 0 {
		v.Fired = fmt.Sprintf(t.FiredOf, st.Fired, st.Count)
	} else {
		v.Fired = fmt.Sprintf(t.Fired, st.Fired)
	}
	return v
}

func describe(r Rule) string {
	text := string(r.Answer)
	if text == "" {
		text = string(AnswerOK)
	}
	if r.place() != OnCreate {
		text = r.On + " · " + text
	}
	if r.Happen != "" {
		text += " · happen " + r.Happen
	}
	if r.Match.To != "" {
		text += " · to …" + r.Match.To
	}
	if r.Match.BodyContains != "" {
		text += " · “" + r.Match.BodyContains + "”"
	}
	if r.Match.Every > 1 {
		text += " · 1/" + strconv.Itoa(r.Match.Every)
	}
	if r.Match.Probability > 0 {
		text += fmt.Sprintf(" · %.0f%%", r.Match.Probability*100)
	}
	if r.For > 0 {
		text += " · for " + time.Duration(r.For).String()
	}
	if r.Callbacks != "" {
		text += " · callbacks " + r.Callbacks
	}
	if r.Final != "" {
		text += " · " + r.Final
	}
	for _, lag := range []struct {
		name string
		d    Duration
	}{{"final after", r.FinalAfter}, {"list lag", r.ListLag}, {"fetch lag", r.FetchLag}} {
		if lag.d > 0 {
			text += " · " + lag.name + " " + time.Duration(lag.d).String()
		}
	}
	return text
}
