package sqldb

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// Type is the type of a column of Rows, as PostgreSQL calls it.
type Type string

// The column types in use.
const (
	UUID      Type = "uuid"
	Text      Type = "text"
	Int       Type = "integer"
	BigInt    Type = "bigint"
	Bytes     Type = "bytea"
	Timestamp Type = "timestamptz"
)

// Column is one column of Rows.
type Column struct {
	Name string
	Type Type
}

// Rows is a batch of rows that a statement reads as if from a table, so that one statement does the work of hundreds.
type Rows struct {
	name string
	cols []Column
	vals [][]any // by row
}

// NewRows makes an empty batch that statements call name.
func NewRows(name string, cols ...Column) *Rows { return &Rows{name: name, cols: cols} }

// Add appends a row; a nil value is NULL.
func (r *Rows) Add(vals ...any) {
	if len(vals) != len(r.cols) {
		panic(fmt.Sprintf("sqldb: row of %d values for %d columns of %s", len(vals), len(r.cols), r.name))
	}
	r.vals = append(r.vals, vals)
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.vals) }

// Source is the batch as a common table expression, to be put after WITH, and its parameters, which come first. The batch
// must not be empty. In SQLite, INSERT … SELECT … FROM a source needs a WHERE before ON CONFLICT; WHERE true serves both.
//
//	q, args := tx.Source(rows)
//	tx.Exec(ctx, "WITH "+q+" INSERT INTO t (id) SELECT id FROM src WHERE true ON CONFLICT DO NOTHING", args...)
func (t *Tx) Source(r *Rows) (string, []any) {
	names := make([]string, len(r.cols))
	for i, c := range r.cols {
		names[i] = c.Name
	}
	head := r.name + " (" + strings.Join(names, ", ") + ") AS "
	if t.db.dialect == Postgres {
		// Arrays keep the statement's text, and so its plan, the same for every size of batch. Each is unfolded by itself: several
		// in one unnest would be stored in full before the first row is read.
		columns := make([]string, len(r.cols))
		args := make([]any, len(r.cols))
		for i, c := range r.cols {
			columns[i] = "unnest(CAST(? AS " + string(c.Type) + "[]))"
			args[i] = array{r, i}
		}
		return head + "(SELECT " + strings.Join(columns, ", ") + ")", args
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(r.cols)), ", ") + ")"
	args := make([]any, 0, len(r.cols)*len(r.vals))
	for _, v := range r.vals {
		args = append(args, v...)
	}
	return head + "(VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", len(r.vals)), ", ") + ")", args
}

// array is a column of a batch as PostgreSQL takes it. It travels in binary: writing and reading it as text costs more than all
// else that a statement of many rows does for them. Where pgx does not know the parameters' types, it is text.
type array struct {
	rows *Rows
	col  int
}

var (
	_ pgtype.ArrayGetter = array{}
	_ pgtype.TextValuer  = array{}
)

// Dimensions implements pgtype.ArrayGetter.
func (a array) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(a.rows.Len()), LowerBound: 1}} //nolint:gosec // a batch has some thousands
}

// Index implements pgtype.ArrayGetter.
func (a array) Index(i int) any {
	v, of := plainValue(a.rows.vals[i][a.col]), a.rows.cols[a.col].Type
	switch x := v.(type) {
	case string:
		switch of {
		case UUID:
			return uuidText(x)
		case Text:
			return v
		}
	case int64:
		switch of {
		case Int:
			return int4(x)
		case BigInt:
			return v
		}
	case []byte:
		if of == Bytes {
			return v
		}
	case time.Time:
		if of == Timestamp {
			return v
		}
	case nil:
		return nil
	}
	panic(fmt.Sprintf("sqldb: a column of type %s holds a %T", of, v))
}

// IndexType implements pgtype.ArrayGetter.
func (a array) IndexType() any {
	switch a.rows.cols[a.col].Type {
	case UUID:
		return uuidText("")
	case Int:
		return int4(0)
	case BigInt:
		return int64(0)
	case Bytes:
		return []byte(nil)
	case Timestamp:
		return time.Time{}
	default:
		return ""
	}
}

// TextValue implements pgtype.TextValuer: the column in the syntax of arrays, which every element type understands.
func (a array) TextValue() (pgtype.Text, error) {
	var b strings.Builder
	b.Grow(40 * a.rows.Len())
	b.WriteByte('{')
	for n, row := range a.rows.vals {
		if n > 0 {
			b.WriteByte(',')
		}
		element(&b, plainValue(row[a.col]))
	}
	b.WriteByte('}')
	return pgtype.Text{String: b.String(), Valid: true}, nil
}

// errMalformed is a value that its column's type cannot hold. pgx sends the column as text then, and the database refuses it.
var errMalformed = errors.New("a value that its column's type cannot hold")

// uuidText is a UUID as we carry it.
type uuidText string

// UUIDValue implements pgtype.UUIDValuer.
func (u uuidText) UUIDValue() (pgtype.UUID, error) {
	id, err := uuid.Parse(string(u))
	if err != nil {
		return pgtype.UUID{}, errMalformed
	}
	return pgtype.UUID{Bytes: id, Valid: true}, nil
}

// int4 is a number that has to fit in 32 bits.
type int4 int64

// Int64Value implements pgtype.Int64Valuer.
func (n int4) Int64Value() (pgtype.Int8, error) {
	if int64(n) != int64(int32(n)) { //nolint:gosec // this is the check
		return pgtype.Int8{}, errMalformed
	}
	return pgtype.Int8{Int64: int64(n), Valid: true}, nil
}

// plainValue is v as nil, string, int64, []byte or time.Time.
func plainValue(v any) any {
	switch x := v.(type) {
	case nil, string, int64:
		return v
	case *string:
		if x == nil {
			return nil
		}
		return *x
	case int:
		return int64(x)
	case []byte:
		if x == nil {
			return nil
		}
		return v
	case Time:
		return x.Time
	case *Time:
		if x == nil {
			return nil
		}
		return x.Time
	default:
		panic(fmt.Sprintf("sqldb: a row holds a %T", v))
	}
}

func element(b *strings.Builder, v any) {
	switch x := v.(type) {
	case nil:
		b.WriteString("NULL")
	case string:
		quote(b, x)
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case []byte:
		b.WriteString(`"\\x`)
		b.WriteString(hex.EncodeToString(x))
		b.WriteByte('"')
	case time.Time:
		quote(b, x.UTC().Format(layout))
	}
}

func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}
