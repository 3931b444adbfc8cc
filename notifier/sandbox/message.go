package sandbox

import (
	"crypto/rand"
	"encoding/hex"
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
	Seq      int64     `json:"seq"` // 1, 2, 3 … without gaps, in the order in which texts were taken
	SID      string    `json:"sid"`
	To       string    `json:"to"`
	From     string    `json:"from"`
	Body     string    `json:"body"`
	Token    string    `json:"token,omitempty"`    // the last part of the callback's path
	Callback string    `json:"callback,omitempty"` // StatusCallback as it was given
	At       time.Time `json:"at"`
	Account  string    `json:"account"`
	Service  string    `json:"service,omitempty"`  // the messaging service that the text was sent through
	Validity int       `json:"validity,omitempty"` // seconds, as asked
	Fate               // what a fault or a magic number laid down
}

// message is a text and its state. The entry never changes; the rest is guarded by the store's mutex.
type message struct {
	Entry
	status  Status
	code    int       // of the failure
	sentAt  time.Time // zero until it left the queue
	updated time.Time
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

// The GSM 03.38 alphabet; characters of the second string cost two septets.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmTwice = "\f^{}\\[~]|€"
)

// Segments counts the parts in which a text travels: 160 septets alone or 153 in parts when the GSM alphabet suffices,
// else 70 UTF-16 units or 67.
func Segments(body string) int {
	septets, units, gsm := 0, 0, true
	for _, r := range body {
		units += utf16.RuneLen(r)
		switch {
		case !gsm:
		case strings.ContainsRune(gsmBasic, r):
			septets++
		case strings.ContainsRune(gsmTwice, r):
			septets += 2
		default:
			gsm = false
		}
	}
	if gsm {
		return parts(septets, 160, 153)
	}
	return parts(units, 70, 67)
}

// parts is how many texts n units need when one alone has room for single and each of several for part.
func parts(n, single, part int) int {
	if n <= single {
		return 1
	}
	return (n + part - 1) / part
}
