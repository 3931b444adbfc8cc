package api

import (
	"context"
	"net/http"
	"time"

	"ansim/booking"
)

// TimelineReader tells the story of a reservation that exists, oldest first.
type TimelineReader interface {
	Timeline(ctx context.Context, reservationID string) ([]TimelineEntry, error)
}

// TimelineEntry is one thing that happened to a reservation or to a text of it.
type TimelineEntry struct {
	At        time.Time
	Type      string
	Version   int
	Slot      *booking.Slot
	Recipient string
	Kind      string
	Resend    int
	Attempt   int
	Reason    string
	Note      string
	Sentence  func(language string) string // what happened, for people
}

type timelineJSON struct {
	ReservationID string         `json:"reservation_id" format:"uuid"`
	Events        []timelineItem `json:"events" nullable:"false" doc:"Oldest first."`
}

// timelineItem is an entry as clients see it.
type timelineItem struct {
	At          string    `json:"at" format:"date-time" example:"2021-07-19T20:00:09.5+09:00"`
	Type        string    `json:"type" example:"text-delivered" doc:"booked, rescheduled, contact-corrected, cancelled, resend-requested; of a text: text-queued, text-handed-over, text-not-sent, text-refused, text-unknown, text-accepted, text-found, text-sent, text-delivered, text-undelivered, text-unconfirmed, text-held, text-failed, text-suppressed. There may be more."`
	Sentence    string    `json:"sentence" example:"It has arrived at the phone." doc:"What happened, in Korean when Accept-Language asks for it and in English otherwise."`
	Version     int       `json:"version" minimum:"1" doc:"Of the reservation."`
	Slot        *slotJSON `json:"slot,omitempty" doc:"booked, rescheduled: where the reservation then was."`
	Recipient   string    `json:"recipient,omitempty" enum:"resident,booker"`
	Kind        string    `json:"kind,omitempty" enum:"confirmation,change,cancellation,reminder"`
	Resend      int       `json:"resend,omitempty" minimum:"1" doc:"The number of the resend that it belongs to."`
	Attempt     int       `json:"attempt,omitempty" minimum:"1" doc:"Which request to the provider it is about."`
	Reason      string    `json:"reason,omitempty" example:"error-30003"`
	Explanation string    `json:"explanation,omitempty" example:"The phone could not be reached." doc:"The reason in a sentence for people."`
	Note        string    `json:"note,omitempty" doc:"resend-requested: why, in the words of who asked."`
}

// timeline is GET /v1/reservations/{id}/timeline.
func (c *call) timeline() error {
	v, err := c.service.Get(c.r.Context(), c.client, c.r.PathValue("id")) // whether it is this client's
	if err != nil {
		return err
	}
	entries, err := c.story.Timeline(c.r.Context(), v.ID)
	if err != nil {
		return err
	}
	language := languageOf(c.r.Header.Get("Accept-Language"))
	out := timelineJSON{ReservationID: v.ID, Events: make([]timelineItem, len(entries))}
	for i, e := range entries {
		item := timelineItem{At: stamp(e.At), Type: e.Type, Sentence: e.Sentence(language), Version: e.Version, Recipient: e.Recipient,
			Kind: e.Kind, Resend: e.Resend, Attempt: e.Attempt, Reason: e.Reason, Note: e.Note}
		if e.Slot != nil {
			slot := slotOf(*e.Slot)
			item.Slot = &slot
		}
		if e.Reason != "" {
			item.Explanation = c.explain(e.Reason, language)
		}
		out.Events[i] = item
	}
	c.w.Header().Set("Vary", "Accept-Language")
	return writeJSON(c.w, http.StatusOK, out)
}
