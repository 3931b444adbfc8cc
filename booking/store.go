package booking

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"ansim/schema/sqldb"
)

func (r *row) person() person { return person{r.ProgrammeID, string(r.Identity)} }

// repeats says whether req asks for what r already is: the same client, slot, person, contact.
func (r *row) repeats(req *request) bool {
	b := req.book
	if r.KeyID != req.call.Client.KeyID || r.SlotID != b.SlotID || r.Name != b.Name.Reveal() || r.BirthDate != b.BirthDate ||
		r.Phone != b.Phone.Reveal() || r.Language != b.Language {
		return false
	}
	booker := r.booker()
	return booker == nil && b.Booker == nil || booker != nil && b.Booker != nil && *booker == *b.Booker
}

// newRow is the reservation that req makes.
func newRow(req *request, slot *slotState, p *programme, now time.Time) (*row, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a reservation id: %w", err)
	}
	b := req.book
	r := &row{
		ID: id.String(), Code: newCode(), ProgrammeID: p.id, SlotID: slot.ID, KeyID: req.call.Client.KeyID, Version: 1,
		Status: StatusConfirmed, Identity: req.identity, Name: b.Name.Reveal(), BirthDate: b.BirthDate, Phone: b.Phone.Reveal(),
		Language: b.Language, Created: sqldb.At(now), Updated: sqldb.At(now),
		SiteID: slot.SiteID, StartsAt: slot.StartsAt, TimeZone: p.zone,
	}
	if b.Booker != nil {
		name, phone := b.Booker.Name.Reveal(), b.Booker.Phone.Reveal()
		r.BookerName, r.BookerPhone = &name, &phone
	}
	if b.Reference != "" {
		r.Reference = &b.Reference
	}
	return r, nil
}

// loadTargets reads, unlocked, the reservations that changes and resends name or, when replayed, were about.
func (b *batch) loadTargets(ctx context.Context, stored map[flight]*keyRow) error {
	b.targets = map[string]*row{}
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.UUID})
	replayed := map[string]bool{}
	for _, req := range b.reqs {
		if req.book == nil && req.targetID != "" {
			wanted.Add(req.targetID)
			k := stored[req.flight()]
			if k == nil || k.ReservationID == nil {
				continue
			}
			replayed[*k.ReservationID] = true
			if *k.ReservationID != req.targetID {
				wanted.Add(*k.ReservationID)
			}
		}
	}
	if wanted.Len() == 0 {
		return nil
	}
	with, args := b.tx.Source(wanted)
	var rows []*row
	if err := b.tx.Select(ctx, &rows, "WITH "+with+" SELECT "+ownColumns+" FROM reservation r WHERE r.id IN (SELECT id FROM wanted)",
		args...); err != nil {
		return fmt.Errorf("read the reservations that requests name: %w", err)
	}
	for _, r := range rows {
		b.targets[r.ID] = r
	}
	var err error
	b.past, err = loadHistory(ctx, b.tx, replayed)
	return err
}

// lockSlots locks slots in the order of their ids.
func lockSlots(ctx context.Context, tx *sqldb.Tx, ids map[string]bool) (map[string]*slotState, error) {
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.Text})
	for id := range ids {
		// What a database would not take as text is the id of no slot.
		if id != "" && len(id) <= maxID && utf8.ValidString(id) && !hasForbidden(id) {
			wanted.Add(id)
		}
	}
	found := make(map[string]*slotState, wanted.Len())
	if wanted.Len() == 0 {
		return found, nil
	}
	with, args := tx.Source(wanted)
	var rows []*slotState
	if err := tx.Select(ctx, &rows, "WITH "+with+` SELECT id, programme_id, site_id, starts_at, capacity, taken FROM slot
		WHERE id IN (SELECT id FROM wanted) ORDER BY id`+tx.ForUpdate(), args...); err != nil {
		return nil, fmt.Errorf("lock slots: %w", err)
	}
	for _, s := range rows {
		found[s.ID] = s
	}
	return found, nil
}

// lockReservations locks the people's confirmed reservations, and those of the ids again whatever their state, all in one
// order: that of identity hashes, and of ids where one person has several. It returns the confirmed ones by person, and
// those of again by id. A row that is in both is one row.
//
// Most people of a batch have no reservation, so they are looked up first, by a subquery for each: that is an index lookup in
// any plan, while a join with the batch is now and then planned as a scan of the whole table, which grows with every booking.
func lockReservations(ctx context.Context, tx *sqldb.Tx, people map[person]bool, again map[string]bool) (
	active map[person]*row, asked map[string]*row, err error) {
	ids, err := activeIDs(ctx, tx, people)
	if err != nil {
		return nil, nil, err
	}
	existing := sqldb.NewRows("existing", sqldb.Column{Name: "id", Type: sqldb.UUID})
	for _, id := range ids {
		if !again[id] {
			existing.Add(id)
		}
	}
	for id := range again {
		existing.Add(id)
	}
	active, asked = make(map[person]*row, existing.Len()), make(map[string]*row, len(again))
	if existing.Len() == 0 {
		return active, asked, nil
	}
	with, args := tx.Source(existing)
	var rows []*row
	if err := tx.Select(ctx, &rows, "WITH "+with+" SELECT "+ownColumns+` FROM reservation r
		WHERE r.id IN (SELECT id FROM existing) ORDER BY r.identity_hash, r.id`+tx.ForUpdate(), args...); err != nil {
		return nil, nil, fmt.Errorf("lock reservations: %w", err)
	}
	for _, r := range rows {
		if r.Status == StatusConfirmed { // as it is since it was locked: another process may have cancelled it after the look
			active[r.person()] = r
		}
		if again[r.ID] {
			asked[r.ID] = r
		}
	}
	return active, asked, nil
}

// activeIDs are the ids of the people's confirmed reservations.
func activeIDs(ctx context.Context, tx *sqldb.Tx, people map[person]bool) (ids []string, err error) {
	if len(people) == 0 {
		return nil, nil
	}
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "programme_id", Type: sqldb.Text},
		sqldb.Column{Name: "identity_hash", Type: sqldb.Bytes})
	for p := range people {
		wanted.Add(p.programme, []byte(p.identity))
	}
	with, args := tx.Source(wanted)
	if err := tx.Select(ctx, &ids, "WITH "+with+`, existing AS MATERIALIZED (SELECT (SELECT r.id FROM reservation r
			WHERE r.programme_id = w.programme_id AND r.identity_hash = w.identity_hash AND r.status = 'confirmed') AS id
		FROM wanted w) SELECT id FROM existing WHERE id IS NOT NULL`, args...); err != nil {
		return nil, fmt.Errorf("look for reservations: %w", err)
	}
	return ids, nil
}

// insertRows inserts reservations. errRaced when the unique indexes did not take each: the person was booked by another
// process meanwhile, or, once in an age, the code exists. Both are settled by deciding again, with new codes. As with keys,
// the statement fails as a whole then; see storeKeys.
func insertRows(ctx context.Context, tx *sqldb.Tx, rows []*row) error {
	if len(rows) == 0 {
		return nil
	}
	col := func(name string, t sqldb.Type) sqldb.Column { return sqldb.Column{Name: name, Type: t} }
	src := sqldb.NewRows("fresh", col("id", sqldb.UUID), col("code", sqldb.Text), col("programme_id", sqldb.Text),
		col("slot_id", sqldb.Text), col("api_key_id", sqldb.UUID), col("version", sqldb.Int), col("status", sqldb.Text),
		col("identity_hash", sqldb.Bytes), col("name", sqldb.Text), col("birth_date", sqldb.Text), col("phone", sqldb.Text),
		col("language", sqldb.Text), col("booker_name", sqldb.Text), col("booker_phone", sqldb.Text),
		col("reference", sqldb.Text), col("created_at", sqldb.Timestamp), col("updated_at", sqldb.Timestamp))
	for _, r := range rows {
		src.Add(r.ID, r.Code, r.ProgrammeID, r.SlotID, r.KeyID, r.Version, r.Status, r.Identity, r.Name, r.BirthDate, r.Phone,
			r.Language, r.BookerName, r.BookerPhone, r.Reference, r.Created, r.Updated)
	}
	const columns = `id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date, phone,
		language, booker_name, booker_phone, reference, created_at, updated_at`
	with, args := tx.Source(src)
	_, err := tx.Exec(ctx, "WITH "+with+" INSERT INTO reservation ("+columns+") SELECT "+columns+
		" FROM fresh ORDER BY identity_hash, programme_id", args...)
	if sqldb.IsUnique(err) {
		return errRaced
	}
	if err != nil {
		return fmt.Errorf("insert reservations: %w", err)
	}
	return nil
}

// moveTaken raises and lowers taken by what the batch inserted and cancelled. The table's CHECK has the last word.
func moveTaken(ctx context.Context, tx *sqldb.Tx, slots map[string]*slotState) error {
	src := sqldb.NewRows("moved", sqldb.Column{Name: "id", Type: sqldb.Text}, sqldb.Column{Name: "change", Type: sqldb.Int})
	for _, s := range slots {
		if s.change != 0 {
			src.Add(s.ID, s.change)
		}
	}
	if src.Len() == 0 {
		return nil
	}
	with, args := tx.Source(src)
	n, err := tx.Exec(ctx, "WITH "+with+" UPDATE slot SET taken = slot.taken + moved.change FROM moved WHERE slot.id = moved.id",
		args...)
	if err != nil {
		return fmt.Errorf("claim places: %w", err)
	}
	if n != int64(src.Len()) {
		return errRaced
	}
	return nil
}
