package console

import (
	"ansim/booking"
	"ansim/notifier/page"
)

// words are what the pages say, by the name that the templates have for it.
var words = map[string]page.Text{
	"console":       {Ko: "상담 콘솔", En: "Support console"},
	"switch":        {Ko: "English", En: "한국어"},
	"sign-in":       {Ko: "로그인", En: "Sign in"},
	"sign-out":      {Ko: "로그아웃", En: "Sign out"},
	"name":          {Ko: "이름", En: "Name"},
	"password":      {Ko: "비밀번호", En: "Password"},
	"demo":          {Ko: "체험용 계정으로 로그인", En: "Sign in as the demonstration's agent"},
	"kept":          {Ko: "로그인이 끝나 있었습니다. 입력하신 내용은 그대로 있으니 다시 로그인해 주세요.", En: "Your session had ended. What you entered is kept; please sign in again."},
	"resume":        {Ko: "이어서 하기", En: "Go on where you were"},
	"resume-lead":   {Ko: "입력하신 내용은 아직 처리되지 않았습니다. 계속하면 처리됩니다.", En: "What you entered has not been done yet. It is done when you go on."},
	"go-on":         {Ko: "계속하기", En: "Go on"},
	"drop-it":       {Ko: "그만두기", En: "Leave it"},
	"wrong":         {Ko: "입력하신 내용을 확인해 주세요", En: "Please check what you entered"},
	"wrong-title":   {Ko: "오류: ", En: "Error: "},
	"find":          {Ko: "예약 찾기", En: "Find a reservation"},
	"find-hint":     {Ko: "예약번호, 휴대전화 번호, 이름 또는 참조번호", En: "Code, mobile number, name, or reference"},
	"search":        {Ko: "찾기", En: "Search"},
	"none":          {Ko: "찾은 예약이 없습니다. 다른 번호나 이름으로 찾아보세요.", En: "Nothing was found. Try another number or name."},
	"more":          {Ko: "처음 20건만 보여 드립니다. 예약번호나 전화번호로 좁혀 주세요.", En: "These are the newest 20. A code or a number narrows it down."},
	"found":         {Ko: "찾은 예약", En: "Found"},
	"texts":         {Ko: "지금 문자", En: "Texts now"},
	"waiting":       {Ko: "발송 대기", En: "Waiting"},
	"looking-up":    {Ko: "결과 확인 중", En: "Being looked up"},
	"person":        {Ko: "담당자 필요", En: "Need a person"},
	"per-second":    {Ko: "초당 발송", En: "Sent a second"},
	"drain":         {Ko: "모두 보내기까지", En: "Until all are sent"},
	"oldest":        {Ko: "가장 오래 기다린 시간", En: "Longest wait"},
	"notifiers":     {Ko: "발송 프로세스", En: "Notifiers"},
	"attention":     {Ko: "확인이 필요한 것", En: "Needs attention"},
	"attention-0":   {Ko: "확인이 필요한 것이 없습니다.", En: "Nothing needs attention."},
	"attention-how": {Ko: "다시 보내기는 명령 ansim parked redrive로 할 수 있습니다.", En: "The command ansim parked redrive lets them go on."},
	"cause":         {Ko: "원인", En: "Cause"},
	"count":         {Ko: "건수", En: "Count"},
	"since":         {Ko: "가장 오래된 것", En: "Oldest"},
	"may-arrived":   {Ko: "도착했을 수 있음", En: "May have arrived"},
	"no-action":     {Ko: "조치 불필요", En: "nothing to do"},
	"trail":         {Ko: "기록", En: "Trail"},
	"trail-lead":    {Ko: "직원이 하려고 한 일과 본 예약입니다. 하기 전에 남으며, 지우거나 고칠 수 없습니다.", En: "What staff set out to do, and whom they looked at. It is written before it is done, and cannot be changed."},
	"older":         {Ko: "더 오래된 기록", En: "Older entries"},
	"who-did":       {Ko: "누가", En: "Who"},
	"what-did":      {Ko: "무엇을", En: "What"},
	"at":            {Ko: "언제", En: "When"},
	"which":         {Ko: "예약", En: "Reservation"},
	"detail":        {Ko: "내용", En: "Detail"},
	"confirmed":     {Ko: "예약됨", En: "Booked"},
	"cancelled":     {Ko: "취소되었습니다. 취소 문자를 보냅니다.", En: "It is cancelled. A text says so."},
	"is-cancelled":  {Ko: "취소됨", En: "Cancelled"},
	"when":          {Ko: "일시", En: "When"},
	"where":         {Ko: "장소", En: "Where"},
	"what":          {Ko: "예약 내용", En: "What for"},
	"booker":        {Ko: "대신 예약하신 분", En: "Booked by"},
	"birth":         {Ko: "생년월일", En: "Date of birth"},
	"phone":         {Ko: "휴대전화", En: "Mobile number"},
	"reference":     {Ko: "참조번호", En: "Reference"},
	"code":          {Ko: "예약번호", En: "Code"},
	"story":         {Ko: "지금까지", En: "What happened"},
	"notes":         {Ko: "메모", En: "Notes"},
	"note-add":      {Ko: "메모 남기기", En: "Add a note"},
	"noted":         {Ko: "메모를 남겼습니다.", En: "The note is added."},
	"act-resend":    {Ko: "문자 다시 보내기", En: "Send the text again"},
	"reason":        {Ko: "이유", En: "Reason"},
	"reason-hint":   {Ko: "예: 문자를 못 받았다고 전화함", En: "For instance: called, got no text"},
	"only-resident": {Ko: "예약하신 분에게만", En: "To the resident only"},
	"even":          {Ko: "같은 문자가 두 번 갈 수 있어도 지금 보내기", En: "Send now, though it may arrive twice"},
	"resent":        {Ko: "문자를 다시 보냅니다.", En: "The text is being sent again."},
	"act-correct":   {Ko: "연락처 고치기", En: "Correct the contact"},
	"correct-hint":  {Ko: "바뀐 내용을 새 번호로 알립니다.", En: "The new number gets a text about it."},
	"save":          {Ko: "고치기", En: "Save"},
	"corrected":     {Ko: "연락처를 고쳤습니다. 새 번호로 문자를 보냅니다.", En: "The contact is corrected. The new number gets a text."},
	"act-cancel":    {Ko: "예약 취소", En: "Cancel the reservation"},
	"sure":          {Ko: "자리가 바로 다른 분에게 열리며 되돌릴 수 없음을 안내했습니다", En: "They know that the place goes to somebody else at once, for good"},
	"not-found":     {Ko: "찾을 수 없습니다", En: "Not found"},
	"not-found-s":   {Ko: "주소가 잘못되었거나 그런 예약이 없습니다.", En: "The address is wrong, or there is no such reservation."},
	"not-allowed":   {Ko: "이 계정으로는 할 수 없습니다", En: "This account may not do that"},
	"not-allowed-s": {Ko: "필요하면 관리자에게 권한을 요청해 주세요.", En: "Ask an administrator if you need to."},
	"busy":          {Ko: "지금 이용자가 많습니다", En: "Many people are here right now"},
	"busy-s":        {Ko: "아무것도 바뀌지 않았습니다. 잠시 뒤에 다시 해 주세요.", En: "Nothing has changed. Please try again in a moment."},
	"broken":        {Ko: "잠시 문제가 있습니다", En: "Something is wrong on our side"},
	"broken-s":      {Ko: "처리되었는지는 예약을 다시 열면 알 수 있습니다.", En: "Open the reservation again to see whether it was done."},
	"foreign":       {Ko: "다른 사이트에서 보낸 요청입니다", En: "This came from another site"},
	"foreign-s":     {Ko: "아무것도 하지 않았습니다.", En: "Nothing was done."},
	"home":          {Ko: "처음으로", En: "Back to the start"},
}

// What is wrong with what was entered, and what to do.
var (
	saysRefused = page.Text{Ko: "이름이나 비밀번호가 맞지 않습니다.", En: "The name or the password is wrong."}
	saysMany    = page.Text{Ko: "여러 번 틀려 잠시 멈췄습니다. %s 뒤에 다시 해 주세요.", En: "This has failed too often. Try again in %s."}
	saysSearch  = page.Text{Ko: "찾을 예약번호, 전화번호, 이름 또는 참조번호를 입력해 주세요.", En: "Enter a code, a number, a name or a reference."}
	saysReason  = page.Text{Ko: "1자 이상 200자 이하로 입력해 주세요.", En: "Enter 1 to 200 characters."}
	saysName    = page.Text{Ko: "이름을 입력해 주세요.", En: "Enter the name."}
	saysPhone   = page.Text{Ko: "휴대전화 번호를 확인해 주세요. 예: 010-1234-5678", En: "Check the mobile number, as 010-1234-5678."}
	saysAgain   = page.Text{Ko: "이 화면은 더 쓸 수 없어 아무것도 하지 않았습니다. 아래에서 다시 해 주세요.", En: "This form can no longer be used, so nothing was done. Please do it again below."}
	saysSure    = page.Text{Ko: "안내했는지 확인해 주세요.", En: "Please confirm that they know."}
)

// refusals are why something was not done. {at} is when it can be.
var refusals = []page.Reason{
	{Err: booking.ErrCoolDown, Says: page.Text{Ko: "조금 전에 문자를 보냈습니다. {at}부터 다시 보낼 수 있습니다.", En: "A text was sent a moment ago. You can send again from {at}."}},
	{Err: booking.ErrTextPending, Says: page.Text{Ko: "문자가 아직 발송을 기다리고 있습니다. 자동으로 나갑니다.", En: "The text is still waiting to go out, and will by itself."}},
	{Err: booking.ErrOutcomeUnknown, Says: page.Text{Ko: "앞서 보낸 문자가 나갔는지 확인하는 중입니다. {at}쯤이면 대개 알 수 있습니다. 지금 보내면 두 번 갈 수 있습니다.", En: "Whether the last text went out is being looked up, and usually known by {at}. Sent now, it may arrive twice."}},
	{Err: booking.ErrAppointmentPast, Says: page.Text{Ko: "예약 시간이 지났습니다.", En: "The appointment has passed."}},
	{Err: booking.ErrNoBooker, Says: page.Text{Ko: "대신 예약한 분이 없습니다.", En: "Nobody booked for this resident."}},
	{Err: booking.ErrVersionMismatch, Says: page.Text{Ko: "그 사이에 예약이 바뀌어 아무것도 하지 않았습니다. 지금 내용을 확인해 주세요.", En: "The reservation was changed meanwhile, so nothing was done. Look at it as it is now."}},
	{Err: booking.ErrNotChangeable, Says: page.Text{Ko: "이미 취소되었거나 시간이 지났습니다.", En: "It is cancelled already, or its time has come."}},
	{Err: booking.ErrKeyReused, Says: page.Text{Ko: "이 화면에서 이미 처리한 일입니다. 지금 내용을 확인하고 다시 해 주세요.", En: "This form was used already. Look at the reservation as it is now, and do it again if needed."}},
	{Err: booking.ErrOverloaded, Says: page.Text{Ko: "지금 이용자가 많아 처리하지 못했습니다. 잠시 뒤에 다시 해 주세요.", En: "Too many requests are waiting, so nothing was done. Try again in a moment."}},
}
