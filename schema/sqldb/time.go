package sqldb

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// layout has a fixed width, so that SQLite's text sorts as time does; PostgreSQL reads it as timestamptz.
const layout = "2006-01-02T15:04:05.000000Z"

// Time is a column's instant: UTC, whole microseconds, the precision that PostgreSQL keeps. A nullable column is a *Time.
type Time struct{ time.Time }

// At makes a Time of t.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// AtPtr is At for a nullable column: nil for the zero time.
func AtPtr(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	v := At(t)
	return &v
}

// Value writes the time as text of fixed width.
func (t Time) Value() (driver.Value, error) { return t.UTC().Format(layout), nil }

// Scan reads what either driver returns.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case time.Time:
		t.Time = v.UTC()
		return nil
	case string:
		p, err := time.Parse(layout, v)
		if err != nil {
			return fmt.Errorf("scan time: %w", err)
		}
		t.Time = p
		return nil
	default:
		return fmt.Errorf("scan time: got %T", src)
	}
}
