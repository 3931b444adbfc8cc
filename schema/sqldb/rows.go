package sqldb

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
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
		// Arrays keep the statement's text, and so its plan, the same for every size of batch.
		casts := make([]string, len(r.cols))
		args := make([]any, len(r.cols))
		for i, c := range r.cols {
			casts[i] = "CAST(? AS " + string(c.Type) + "[])"
			args[i] = r.array(i)
		}
		return head + "(SELECT * FROM unnest(" + strings.Join(casts, ", ") + "))", args
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(r.cols)), ", ") + ")"
	args := make([]any, 0, len(r.cols)*len(r.vals))
	for _, v := range r.vals {
		args = append(args, v...)
	}
	return head + "(VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", len(r.vals)), ", ") + ")", args
}

// array writes column i in PostgreSQL's array syntax, which every element type understands.
func (r *Rows) array(i int) string {
	var b strings.Builder
	b.Grow(40 * len(r.vals))
	b.WriteByte('{')
	for n, row := range r.vals {
		if n > 0 {
			b.WriteByte(',')
		}
		element(&b, row[i])
	}
	b.WriteByte('}')
	return b.String()
}

func element(b *strings.Builder, v any) {
	if dv, ok := v.(driver.Valuer); ok {
		if p, isPtr := v.(*Time); isPtr && p == nil {
			v = nil
		} else {
			var err error
			if v, err = dv.Value(); err != nil {
				panic(fmt.Sprintf("sqldb: value of a row: %v", err))
			}
		}
	}
	switch x := v.(type) {
	case nil:
		b.WriteString("NULL")
	case *string:
		if x == nil {
			b.WriteString("NULL")
			return
		}
		quote(b, *x)
	case string:
		quote(b, x)
	case int:
		b.WriteString(strconv.Itoa(x))
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case []byte:
		if x == nil {
			b.WriteString("NULL")
			return
		}
		b.WriteString(`"\\x`)
		b.WriteString(hex.EncodeToString(x))
		b.WriteByte('"')
	default:
		panic(fmt.Sprintf("sqldb: a row holds a %T", v))
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
