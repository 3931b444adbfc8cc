package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/schema/event"
)

var update = flag.Bool("update", false, "write the golden files anew: only with a new major version of a type, since others read the topic")

// golden are the events whose exact form the files in testdata hold.
func golden() map[string]event.Event {
	at := time.Date(2021, 7, 19, 11, 0, 0, 123_456_000, time.UTC)
	return map[string]event.Event{
		"booked": {ID: "018f3c5e-7b1a-7c3d-9e2f-0123456789ab", Type: event.Booked, ReservationID: "018f3c5e-7b1a-7000-8000-000000000001",
			Version: 1, Recipients: []event.Recipient{event.Resident, event.Booker}, Time: at,
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"changed": {ID: "018f3c5e-7b1b-7c3d-9e2f-0123456789ab", Type: event.Changed, ReservationID: "018f3c5e-7b1a-7000-8000-000000000001",
			Version: 2, Recipients: []event.Recipient{event.Resident}, Resend: 3, Time: at.Add(time.Hour)},
		"cancelled": {ID: "018f3c5e-7b1c-7c3d-9e2f-0123456789ab", Type: event.Cancelled, ReservationID: "018f3c5e-7b1a-7000-8000-000000000001",
			Version: 3, Recipients: []event.Recipient{event.Booker}, Time: at.Truncate(time.Second)},
		"corrected": {ID: "018f3c5e-7b1d-7c3d-9e2f-0123456789ab", Type: event.Changed, ReservationID: "018f3c5e-7b1a-7000-8000-000000000001",
			Version: 2, Recipients: []event.Recipient{event.Resident, event.Booker, event.Former}, Time: at},
	}
}

// record is a record as a golden file holds it: a line for each header, an empty line, the body.
func record(headers []event.Header, body []byte) []byte {
	var b bytes.Buffer
	for _, h := range headers {
		b.WriteString(h.Key + ": " + string(h.Value) + "\n")
	}
	b.WriteString("\n")
	b.Write(body)
	b.WriteString("\n")
	return b.Bytes()
}

func parse(t testing.TB, file []byte) (headers []event.Header, body []byte) {
	t.Helper()
	head, body, ok := bytes.Cut(file, []byte("\n\n"))
	if !ok {
		t.Fatal("the golden file has no empty line")
	}
	for line := range strings.SplitSeq(string(head), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		headers = append(headers, event.Header{Key: key, Value: []byte(value)})
	}
	return headers, bytes.TrimSuffix(body, []byte("\n"))
}

func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, e := range golden() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headers, body, err := event.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".v1.txt")
			if *update {
				if err := os.WriteFile(path, record(headers, body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(record(headers, body))); diff != "" {
				t.Errorf("the record is not what %s holds (-want +got):\n%s", path, diff)
			}
			got, err := event.Decode(parse(t, want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("decoded from %s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// change is a valid record with one thing changed.
type change struct {
	name    string
	header  string // that is replaced, or removed when value is "-"
	value   string
	body    map[string]any // fields that are replaced, or removed when nil
	rawBody string         // instead of the body
}

func (c change) apply(t *testing.T) ([]event.Header, []byte) {
	t.Helper()
	headers, body, err := event.Encode(golden()["changed"])
	if err != nil {
		t.Fatal(err)
	}
	if c.header != "" {
		headers = slices.DeleteFunc(headers, func(h event.Header) bool { return h.Key == c.header })
		if c.value != "-" {
			headers = append(headers, event.Header{Key: c.header, Value: []byte(c.value)})
		}
	}
	if c.rawBody != "" {
		return headers, []byte(c.rawBody)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	for k, v := range c.body {
		if fields[k] = v; v == nil {
			delete(fields, k)
		}
	}
	if body, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	return headers, body
}

func TestDecodeIgnoresWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	want := golden()["changed"]
	for _, c := range []change{
		{name: "field", body: map[string]any{"colour": "red", "nested": map[string]any{"version": 9}}},
		{name: "header", header: "ce_colour", value: "red"},
		{name: "no traceparent", header: "traceparent", value: "-"},
		{name: "damaged traceparent", header: "traceparent", value: "010-1234-5678"},
	} {
		got, err := event.Decode(c.apply(t))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	headers, body := change{}.apply(t)
	slices.Reverse(headers)
	for i := range headers {
		headers[i].Key = strings.ToUpper(headers[i].Key)
	}
	if got, err := event.Decode(headers, body); err != nil || !cmp.Equal(want, got) {
		t.Errorf("headers in another order and case: %v, %v", got, err)
	}
}

func TestDecodeOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"ansim.reservation.booked.v2", "ansim.reservation.changed.v0", "ansim.reservation.cancelled.v1000"} {
		_, err := event.Decode(change{header: "ce_type", value: typ, rawBody: `{"anything": "else"}`}.apply(t))
		if !errors.Is(err, event.ErrVersion) || !strings.Contains(err.Error(), typ) {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

func TestDecodeRefusesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	const canary = "+821012345678"
	for _, c := range []change{
		{name: "no specversion", header: "ce_specversion", value: "-"},
		{name: "other specversion", header: "ce_specversion", value: "0.3"},
		{name: "no source", header: "ce_source", value: "-"},
		{name: "other source", header: "ce_source", value: "/" + canary},
		{name: "no type", header: "ce_type", value: "-"},
		{name: "other type", header: "ce_type", value: "ansim.reservation.lost.v1"},
		{name: "type without version", header: "ce_type", value: "ansim.reservation.booked"},
		{name: "type with a number behind it", header: "ce_type", value: "ansim.reservation.booked.v" + canary},
		{name: "type with a long version", header: "ce_type", value: "ansim.reservation.booked.v01012345678"},
		{name: "no id", header: "ce_id", value: "-"},
		{name: "id", header: "ce_id", value: canary},
		{name: "id in upper case", header: "ce_id", value: "018F3C5E-7B1A-7C3D-9E2F-0123456789AB"},
		{name: "id in braces", header: "ce_id", value: "{018f3c5e-7b1a-7c3d-9e2f-0123456789ab}"},
		{name: "id without dashes", header: "ce_id", value: "018f3c5e7b1a7c3d9e2f0123456789ab"},
		{name: "id as URN", header: "ce_id", value: "urn:uuid:018f3c5e-7b1a-7c3d-9e2f-0123456789ab"},
		{name: "no time", header: "ce_time", value: "-"},
		{name: "time", header: "ce_time", value: canary},
		{name: "time without zone", header: "ce_time", value: "2021-07-19T11:00:00"},
		{name: "time before the year 1", header: "ce_time", value: "0001-01-01T00:00:00+01:00"},
		{name: "time after the year 9999", header: "ce_time", value: "9999-12-31T23:59:59-01:00"},
		{name: "no subject", header: "ce_subject", value: "-"},
		{name: "other subject", header: "ce_subject", value: "018f3c5e-7b1a-7000-8000-000000000002"},
		{name: "empty body", rawBody: " "},
		{name: "body is no JSON", rawBody: canary},
		{name: "body is a list", rawBody: `["` + canary + `"]`},
		{name: "body is null", rawBody: `null`},
		{name: "body goes on", rawBody: `{"version":1} ` + canary},
		{name: "no reservation", body: map[string]any{"reservation_id": nil}},
		{name: "reservation", body: map[string]any{"reservation_id": canary}},
		{name: "reservation is a number", body: map[string]any{"reservation_id": 5}},
		{name: "no version", body: map[string]any{"version": nil}},
		{name: "version 0", body: map[string]any{"version": 0}},
		{name: "version beyond the column", body: map[string]any{"version": 1 << 31}},
		{name: "version is text", body: map[string]any{"version": canary}},
		{name: "resend below 0", body: map[string]any{"resend": -1}},
		{name: "resend beyond the column", body: map[string]any{"resend": 1 << 31}},
		{name: "no recipients", body: map[string]any{"recipients": nil}},
		{name: "empty recipients", body: map[string]any{"recipients": []string{}}},
		{name: "three recipients", body: map[string]any{"recipients": []string{"resident", "booker", "resident"}}},
		{name: "a recipient twice", body: map[string]any{"recipients": []string{"resident", "resident"}}},
		{name: "a recipient twice", body: map[string]any{"recipients": []string{"resident", "former", "resident"}}},
		{name: "unknown recipient", body: map[string]any{"recipients": []string{canary}}},
	} {
		e, err := event.Decode(c.apply(t))
		if !errors.Is(err, event.ErrMalformed) || errors.Is(err, event.ErrVersion) || !cmp.Equal(e, event.Event{}) {
			t.Errorf("%s: %v, %v", c.name, e, err)
			continue
		}
		if strings.Contains(err.Error(), "1012345678") {
			t.Errorf("%s: the error quotes the record: %v", c.name, err)
		}
	}
}

// Whatever Decode accepts comes out of Encode and Decode as it is.
func FuzzDecode(f *testing.F) {
	for _, e := range golden() {
		headers, body, err := event.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record(headers, body))
	}
	f.Add([]byte("ce_type: ansim.reservation.booked.v2\nce_specversion: 1.0\n\n{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if !bytes.Contains(file, []byte("\n\n")) {
			return
		}
		e, err := event.Decode(parse(t, file))
		if err != nil {
			if !errors.Is(err, event.ErrMalformed) && !errors.Is(err, event.ErrVersion) {
				t.Fatalf("an error of its own: %v", err)
			}
			return
		}
		headers, body, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := event.Decode(headers, body)
		if err != nil || !cmp.Equal(e, again) {
			t.Fatalf("%v became %v, %v", e, again, err)
		}
	})
}
