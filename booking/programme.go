package booking

import (
	"fmt"
	"time"
)

// Text is a text in both languages.
type Text struct{ Ko, En string }

// Rule admits the people born within its dates, from its opening to its closing.
type Rule struct {
	ID       string
	BornFrom string // YYYY-MM-DD, inclusive
	BornTo   string // YYYY-MM-DD, inclusive
	OpensAt  time.Time
	ClosesAt time.Time
}

// Site is a place with slots.
type Site struct {
	ID   string
	Name Text
}

// SlotSpec is a slot of a programme file.
type SlotSpec struct {
	ID       string
	SiteID   string
	StartsAt time.Time
	Capacity int
}

// ProgrammeFile is a programme as its file describes it, checked.
type ProgrammeFile struct {
	ID       string
	Name     Text
	Tag      Text // what texts begin with, in brackets
	TimeZone string
	OpensAt  time.Time
	ClosesAt time.Time
	Rules    []Rule // none: everybody
	Sites    []Site
	Slots    []SlotSpec
}

// Change is one thing that ApplyProgramme did.
type Change struct {
	Action string // "added", "changed" or "removed"
	What   string // "programme", "rule", "site" or "slot"
	ID     string
	Detail string // what changed, for "changed"
}

// String is one line for people.
func (c Change) String() string {
	s := fmt.Sprintf("%s %s %s", c.Action, c.What, c.ID)
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	return s
}

// Programme is a programme as the database has it, with its figures.
type Programme struct {
	ID       string
	Name     Text
	Tag      Text
	TimeZone string
	OpensAt  time.Time // in its zone
	ClosesAt time.Time
	Rules    []Rule
	Sites    int
	Slots    int
	Capacity int
	Taken    int
}

// ParseProgramme reads a programme file.
