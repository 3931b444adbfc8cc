package api

import (
	"encoding/binary"
	"slices"
	"strings"
)

// canonical appends a form of n that is the same for every way to write the same value: names sorted, strings unescaped and
// preceded by their length. Numbers stay as written; no valid body holds one.
func (n *node) canonical(buf []byte) []byte {
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	buf = append(buf, byte(n.kind))
	switch n.kind {
	case kindString, kindNumber, kindBool:
		text(n.text)
	case kindArray:
		buf = binary.AppendUvarint(buf, uint64(len(n.items)))
		for i := range n.items {
			buf = n.items[i].canonical(buf)
		}
	case kindObject:
		slices.SortFunc(n.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		buf = binary.AppendUvarint(buf, uint64(len(n.members)))
		for i := range n.members {
			text(n.members[i].name)
			buf = n.members[i].value.canonical(buf)
		}
	}
	return buf
}
