package resident

import (
	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/page"
)

// words are what the pages say, by the name that the templates have for it.
var words = map[string]page.Text{
	"service":      {Ko: "예약 확인", En: "Check your booking"},
	"switch":       {Ko: "English", En: "한국어"},
	"start":        {Ko: "예약되었는지 확인하기", En: "Am I booked?"},
	"start-lead":   {Ko: "예약 문자에 있는 예약번호와 예약하신 분의 생년월일을 입력해 주세요.", En: "Give the code from your text and the date of birth of the person who is booked."},
	"code":         {Ko: "예약번호", En: "Code"},
	"code-hint":    {Ko: "문자에 있는 영문과 숫자 10자리입니다. 예: K7Q29-3TX4M", En: "The 10 letters and digits in the text, as K7Q29-3TX4M"},
	"birth":        {Ko: "생년월일", En: "Date of birth"},
	"birth-hint":   {Ko: "예: 19670505 또는 1967. 5. 5.", En: "Year, month, day, as 1967-05-05"},
	"check":        {Ko: "확인하기", En: "Check"},
	"lost-link":    {Ko: "예약번호를 잊으셨나요?", En: "I do not have my code"},
	"lost":         {Ko: "예약번호를 문자로 받기", En: "Get your code by text"},
	"lost-lead":    {Ko: "예약할 때 쓴 이름, 생년월일, 휴대전화 번호를 입력해 주세요. 예약에 등록된 번호로만 문자를 보냅니다.", En: "Give the name, date of birth and mobile number that were used to book. The text goes to the number on the booking, and to no other."},
	"name":         {Ko: "예약하신 분의 이름", En: "Name of the person who is booked"},
	"phone":        {Ko: "휴대전화 번호", En: "Mobile number"},
	"phone-hint":   {Ko: "예약에 등록된 번호입니다. 예: 010-1234-5678", En: "The one on the booking, as 010-1234-5678"},
	"lost-send":    {Ko: "문자로 받기", En: "Send the text"},
	"lost-done":    {Ko: "요청을 받았습니다", En: "We have your request"},
	"lost-done-1":  {Ko: "입력하신 내용과 같은 예약이 있으면 그 예약에 등록된 번호로 예약번호를 문자로 보냅니다. 보통 몇 분 안에 도착합니다.", En: "If there is a booking with these details, its code goes by text to the number on the booking. It usually arrives within minutes."},
	"lost-done-2":  {Ko: "10분이 지나도 문자가 오지 않으면 이름, 생년월일, 번호가 예약할 때와 같은지 확인하고 다시 요청해 주세요. 그래도 오지 않으면 예약하신 기관에 문의해 주세요.", En: "If no text has come after 10 minutes, check that the name, date of birth and number are those of the booking, and ask again. If it still does not come, please ask where you booked."},
	"back":         {Ko: "처음으로", En: "Back to the start"},
	"wrong":        {Ko: "입력하신 내용을 확인해 주세요", En: "Please check what you entered"},
	"wrong-title":  {Ko: "오류: ", En: "Error: "},
	"booked":       {Ko: "예약되어 있습니다", En: "You are booked"},
	"cancelled":    {Ko: "취소된 예약입니다", En: "This booking is cancelled"},
	"past":         {Ko: "지난 예약입니다", En: "This appointment has passed"},
	"when":         {Ko: "일시", En: "When"},
	"where":        {Ko: "장소", En: "Where"},
	"who":          {Ko: "예약하신 분", En: "Who"},
	"booker":       {Ko: "대신 예약하신 분", En: "Booked by"},
	"what":         {Ko: "예약 내용", En: "What for"},
	"text":         {Ko: "문자 안내", En: "Your text"},
	"to-number":    {Ko: "받는 번호 끝자리", En: "To the number ending in"},
	"again":        {Ko: "문자 다시 받기", En: "Send the text again"},
	"again-done":   {Ko: "문자를 다시 보냅니다", En: "The text is being sent again"},
	"again-rest":   {Ko: "도착하지 않으면 1분 뒤부터 다시 요청할 수 있습니다.", En: "If it does not arrive, you can ask once more after a minute."},
	"calendar":     {Ko: "캘린더에 추가", En: "Add to calendar"},
	"change":       {Ko: "예약 바꾸기", En: "Change your booking"},
	"move":         {Ko: "시간이나 장소 바꾸기", En: "Choose another time or place"},
	"cancel":       {Ko: "예약 취소하기", En: "Cancel the booking"},
	"cancel-ask":   {Ko: "이 예약을 취소할까요?", En: "Cancel this booking?"},
	"cancel-warn":  {Ko: "취소하면 자리가 바로 다른 분에게 열리며 되돌릴 수 없습니다.", En: "The place goes to somebody else at once. This cannot be undone."},
	"cancel-yes":   {Ko: "예, 취소합니다", En: "Yes, cancel it"},
	"keep":         {Ko: "아니요, 그대로 둡니다", En: "No, keep it"},
	"cancel-done":  {Ko: "예약을 취소했습니다", En: "The booking is cancelled"},
	"cancel-text":  {Ko: "취소되었다는 문자도 보내 드립니다.", En: "A text will say so, too."},
	"move-at":      {Ko: "자리가 있는 시간", En: "Times that have places"},
	"move-now":     {Ko: "지금 예약", En: "Your booking now"},
	"move-new":     {Ko: "새 예약", En: "New booking"},
	"move-choose":  {Ko: "이 시간으로 계속", En: "Continue with this time"},
	"move-later":   {Ko: "더 늦은 시간 보기", En: "Show later times"},
	"move-none":    {Ko: "이 장소에는 남은 자리가 없습니다. 아래에서 다른 장소를 찾아보세요.", En: "No place is left here. Look for another place below."},
	"move-place":   {Ko: "다른 장소 찾기", En: "Look for another place"},
	"place":        {Ko: "장소 이름", En: "Name of the place"},
	"place-hint":   {Ko: "이름의 일부만 입력해도 됩니다. 비워 두면 모두 보여 드립니다.", En: "A part of the name will do. Leave it empty to see all."},
	"find":         {Ko: "찾기", En: "Search"},
	"places":       {Ko: "자리가 있는 장소", En: "Places that have a free time"},
	"places-none":  {Ko: "그런 이름의 장소가 없거나 남은 자리가 없습니다.", En: "No place of that name has a free time."},
	"places-most":  {Ko: "처음 20곳만 보여 드립니다. 이름을 더 입력하면 좁힐 수 있습니다.", En: "These are the first 20. A longer name shows fewer."},
	"move-ask":     {Ko: "이렇게 바꿀까요?", En: "Change it to this?"},
	"move-yes":     {Ko: "예, 바꿉니다", En: "Yes, change it"},
	"move-done":    {Ko: "예약을 바꿨습니다", En: "Your booking is changed"},
	"move-text":    {Ko: "바뀐 내용을 문자로도 보내 드립니다.", En: "A text with the new details is on its way, too."},
	"pick-one":     {Ko: "시간을 하나 골라 주세요.", En: "Choose one of the times."},
	"busy":         {Ko: "지금 이용하시는 분이 많습니다", En: "Many people are here right now"},
	"busy-lead":    {Ko: "예약에는 아무 변화가 없습니다. 10초쯤 뒤에 다시 해 주세요.", En: "Nothing about your booking has changed. Please try again in about ten seconds."},
	"retry":        {Ko: "다시 하기", En: "Try again"},
	"broken":       {Ko: "잠시 문제가 있습니다", En: "Something is wrong on our side"},
	"broken-lead":  {Ko: "잠시 뒤에 다시 확인해 주세요. 방금 누르신 것이 처리되었는지는 예약을 다시 확인하면 알 수 있습니다.", En: "Please check again in a moment: the booking then shows whether what you just did was done."},
	"foreign":      {Ko: "다른 사이트에서 보낸 요청입니다", En: "This came from another site"},
	"foreign-lead": {Ko: "아무것도 하지 않았습니다. 이 페이지에서 다시 시작해 주세요.", En: "Nothing was done. Please begin again on this page."},
}

// What is wrong with what somebody typed, and what to do.
var (
	saysCode      = page.Text{Ko: "예약번호는 영문과 숫자 10자리입니다. 문자에 있는 그대로 입력해 주세요. 예: K7Q29-3TX4M", En: "The code has 10 letters and digits. Enter it as it stands in the text, as K7Q29-3TX4M."}
	saysShort     = page.Text{Ko: "예약번호는 10자리인데 %d자리를 입력하셨습니다. 문자에 있는 번호를 끝까지 입력해 주세요.", En: "The code has 10 characters, and you entered %d. Enter the whole of it from the text."}
	saysBirth     = page.Text{Ko: "생년월일을 연, 월, 일 순서로 입력해 주세요. 예: 19670505", En: "Enter year, month and day, as 1967-05-05."}
	saysWhole     = page.Text{Ko: "주민등록번호는 입력하지 마세요. 생년월일만 필요합니다. 예: 19670505", En: "Do not enter a registration number: only the date of birth is needed, as 1967-05-05."}
	saysNotFound  = page.Text{Ko: "이 예약번호와 생년월일이 맞는 예약이 없습니다. 둘 다 확인해 주세요. 생년월일은 예약하신 분의 것이어야 합니다.", En: "No booking has this code and this date of birth. Please check both; the date is that of the person who is booked."}
	saysLimited   = page.Text{Ko: "확인에 여러 번 실패해 잠시 멈췄습니다. 예약에는 변함이 없습니다. %s 뒤에 다시 해 주세요.", En: "This has failed too often, so it pauses for a while. The booking is as it was. Try again in %s."}
	saysName      = page.Text{Ko: "예약할 때 쓴 이름을 입력해 주세요. 예: 홍길동", En: "Enter the name that was used to book."}
	saysPhone     = page.Text{Ko: "휴대전화 번호를 확인해 주세요. 예: 010-1234-5678", En: "Check the mobile number, as 010-1234-5678."}
	saysLate      = page.Text{Ko: "지금 문자가 많아 약 %s 늦어지고 있습니다. 예약은 되어 있으니 안심하고 기다리셔도 됩니다.", En: "Many texts are being sent, and they are about %s late. You are booked, so you can simply wait."}
	saysStopped   = page.Text{Ko: "지금 문자 발송이 멈춰 있습니다. 예약은 되어 있으며, 다시 시작되면 문자가 자동으로 갑니다.", En: "No texts go out right now. You are booked, and the text comes by itself when they do again."}
	saysCancelled = page.Text{Ko: "이미 취소되었거나 시간이 지나 바꿀 수 없습니다.", En: "It is cancelled already, or its time has come, so it cannot be changed."}
)

// status is what people are told of a text, by its state. {at} is when.
var status = map[notifier.State]page.Text{
	notifier.Pending:          {Ko: "문자를 보내는 중입니다.", En: "The text is being sent."},
	notifier.Sending:          {Ko: "문자를 보내는 중입니다.", En: "The text is being sent."},
	notifier.StateUnknown:     {Ko: "문자가 나갔는지 확인하고 있습니다. 같은 문자가 두 번 가지 않도록 먼저 확인합니다.", En: "We are finding out whether the text went out, so that it does not come twice."},
	notifier.StateAccepted:    {Ko: "문자를 통신사에 넘겼습니다. 휴대전화에 도착했다는 확인은 아직 없습니다.", En: "The carrier has the text. The phone has not confirmed yet."},
	notifier.StateSent:        {Ko: "문자를 통신사에 넘겼습니다. 휴대전화에 도착했다는 확인은 아직 없습니다.", En: "The carrier has the text. The phone has not confirmed yet."},
	notifier.StateDelivered:   {Ko: "문자가 휴대전화에 도착했습니다.", En: "The text has arrived at the phone."},
	notifier.StateUndelivered: {Ko: "문자가 아직 도착하지 못했습니다. 자동으로 다시 보냅니다.", En: "The text has not arrived yet. It is sent again by itself."},
	notifier.StateFailed:      {Ko: "문자를 보내지 못했습니다. 예약에는 영향이 없습니다.", En: "The text could not be sent. The booking is not affected."},
	notifier.StateHeld:        {Ko: "담당자가 문자를 확인하고 있습니다. 예약에는 영향이 없습니다.", En: "A member of staff is looking into the text. The booking is not affected."},
	notifier.StateSuppressed:  {Ko: "이 문자는 보내지 않았습니다.", En: "This text was not sent."},
}

// refusals are why something was not done. {at} is when it can be, {closed} when it could last.
var refusals = []page.Reason{
	{Err: booking.ErrCoolDown, Says: page.Text{Ko: "방금 문자를 보냈습니다. {at}부터 다시 요청할 수 있습니다.", En: "A text was sent a moment ago. You can ask again from {at}."}},
	{Err: booking.ErrTextPending, Says: page.Text{Ko: "문자가 이미 발송을 기다리고 있습니다. 자동으로 나가니 조금 기다려 주세요.", En: "The text is waiting to go out already, and will by itself. Please wait a little."}},
	{Err: booking.ErrOutcomeUnknown, Says: page.Text{Ko: "앞서 보낸 문자가 나갔는지 확인하고 있습니다. {at}쯤 다시 확인해 주세요.", En: "We are finding out whether the last text went out. Please look again about {at}."}},
	{Err: booking.ErrAppointmentPast, Says: page.Text{Ko: "예약 시간이 지나 문자를 보내지 않습니다.", En: "The appointment has passed, so no text is sent."}},
	{Err: booking.ErrNotOpenYet, Says: page.Text{Ko: "이 분의 예약은 {at}에 시작되므로 지금은 바꿀 수 없습니다. 지금 예약은 그대로입니다.", En: "Booking opens for this person at {at}, so it cannot be changed now. The booking is as it was."}},
	{Err: booking.ErrWindowClosed, Says: page.Text{Ko: "예약 기간이 끝나 바꿀 수 없습니다. 지금 예약은 그대로입니다.", En: "The booking period has ended, so it cannot be changed. The booking is as it was."}},
	{Err: booking.ErrNotEligible, Says: page.Text{Ko: "이 생년월일은 지금 예약 대상이 아니어서 바꿀 수 없습니다. 지금 예약은 그대로입니다.", En: "This date of birth is not admitted at present, so it cannot be changed. The booking is as it was."}},
	{Err: booking.ErrSlotFull, Says: page.Text{Ko: "그 시간은 방금 마감되었습니다. 지금 예약은 그대로이니 다른 시간을 골라 주세요.", En: "That time has just been taken. The booking is as it was; please choose another time."}},
	{Err: booking.ErrNoSlot, Says: page.Text{Ko: "그 시간은 이제 없습니다. 지금 예약은 그대로이니 다른 시간을 골라 주세요.", En: "That time is no longer there. The booking is as it was; please choose another time."}},
	{Err: booking.ErrVersionMismatch, Says: page.Text{Ko: "그 사이에 예약이 바뀌어 아무것도 하지 않았습니다. 아래 내용을 확인해 주세요.", En: "The booking was changed meanwhile, so nothing was done. Please look at it below."}},
	{Err: booking.ErrNotChangeable, Says: saysCancelled},
}
