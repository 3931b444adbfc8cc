package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Status is where a text is on its way to the phone, in Twilio's words.
type Status string

// The states of a text. Delivered, Undelivered and Failed are final.
const (
	Accepted    Status = "accepted" // taken for a messaging service that has yet to choose the sender
	Queued      Status = "queued"
	Sent        Status = "sent"
	Delivered   Status = "delivered"
	Undelivered Status = "undelivered"
	Failed      Status = "failed"
)

func (s Status) final() bool { return s == Delivered || s == Undelivered || s == Failed }

// Entry is one line of the log: a text that the network took. What the network later made of it is not in it.
type Entry struct {
	Seq       int64     `json:"seq"` // 1, 2, 3 … without gaps, in the order in which texts were taken
	SID       string    `json:"sid"`
	To        string    `json:"to"`
	From      string    `json:"from"`
	Body      string    `json:"body"`
	Token     string    `json:"token,omitempty"`    // the last part of the callback's path
	Callback  string    `json:"callback,omitempty"` // StatusCallback as it was given
	At        time.Time `json:"at"`
	Account   string    `json:"account"`
	Service   string    `json:"service,omitempty"`   // the messaging service that the text was sent through
	Validity  int       `json:"validity,omitempty"`  // seconds, as asked
	Final     string    `json:"final,omitempty"`     // how it shall end when a fault decided so: "undelivered:30003"
	Callbacks string    `json:"callbacks,omitempty"` // what a fault does to its callbacks
	LateBy    Duration  `json:"late_by,omitempty"`
	ListLag   Duration  `json:"list_lag,omitempty"`
}

// message is a text and its state. The entry never changes; the rest is guarded by the store's mutex.
type message struct {
	Entry
	status  Status
	code    int       // of the failure
	sentAt  time.Time // zero until it left the queue
	updated time.Time
	calls   callQueue
}

// Message is a text with its present state.
type Message struct {
	Entry
	Status    Status
	ErrorCode int       // 0 unless undelivered or failed
	SentAt    time.Time // zero while queued
	UpdatedAt time.Time
}

func newSID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails: it ends the program instead
	return "SM" + hex.EncodeToString(b[:])
}

// tokenOf is the last part of the callback's path, by which the sender knows its attempt again.
func tokenOf(callback string) string {
	u, err := url.Parse(callback)
	if err != nil || u.Path == "" {
		return ""
	}
	if last := path.Base(u.Path); last != "." && last != "/" {
		return last
	}
	return ""
}

// resource is the message as Twilio's API shows it: numbers as strings, times as RFC 2822 in GMT, absent things as null.
type resource struct {
	Body         string            `json:"body"`
	NumSegments  string            `json:"num_segments"`
	Direction    string            `json:"direction"`
	From         *string           `json:"from"`
	DateUpdated  string            `json:"date_updated"`
	Price        *string           `json:"price"`
	ErrorMessage *string           `json:"error_message"`
	URI          string            `json:"uri"`
	AccountSID   string            `json:"account_sid"`
	NumMedia     string            `json:"num_media"`
	To           string            `json:"to"`
	DateCreated  string            `json:"date_created"`
	Status       Status            `json:"status"`
	SID          string            `json:"sid"`
	DateSent     *string           `json:"date_sent"`
	ServiceSID   *string           `json:"messaging_service_sid"`
	ErrorCode    *int              `json:"error_code"`
	PriceUnit    string            `json:"price_unit"`
	APIVersion   string            `json:"api_version"`
	Subresources map[string]string `json:"subresource_uris"`
}

const rfc2822 = "Mon, 02 Jan 2006 15:04:05 -0700"

func resourceOf(m Message) resource {
	uri := messagesPath(m.Account) + "/" + m.SID
	r := resource{
		Body: m.Body, NumSegments: strconv.Itoa(Segments(m.Body)), Direction: "outbound-api",
		DateUpdated: m.UpdatedAt.UTC().Format(rfc2822), URI: uri + ".json", AccountSID: m.Account, NumMedia: "0", To: m.To,
		DateCreated: m.At.UTC().Format(rfc2822), Status: m.Status, SID: m.SID, PriceUnit: "USD", APIVersion: apiVersion,
		Subresources: map[string]string{"media": uri + "/Media.json"},
	}
	if m.Status == Accepted {
		r.NumSegments = "0" // no sender is chosen yet, and so no encoding
	} else {
		r.From = &m.From
	}
	if m.Service != "" {
		r.ServiceSID = &m.Service
	}
	if !m.SentAt.IsZero() {
		sent := m.SentAt.UTC().Format(rfc2822)
		r.DateSent = &sent
	}
	if m.ErrorCode != 0 {
		text := reasonOf(m.ErrorCode, false)
		r.ErrorCode, r.ErrorMessage = &m.ErrorCode, &text
	}
	return r
}

// The GSM 03.38 alphabet; characters of the second string cost two septets.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmTwice = "\f^{}\\[~]|€"
)

// Segments counts the parts in which a text travels: 160 septets alone or 153 in parts when the GSM alphabet suffices,
// else 70 UTF-16 units or 67.
func Segments(body string) int {
	units, single, part := 0, 160, 153
	for _, r := range body {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			units++
		case strings.ContainsRune(gsmTwice, r):
			units += 2
		default:
			units, single, part = len(utf16.Encode([]rune(body))), 70, 67
		}
		if single == 70 {
			break
		}
	}
	if units <= single {
		return 1
	}
	return (units + part - 1) / part
}
