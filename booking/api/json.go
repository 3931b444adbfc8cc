package api

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep a body may nest. Ours need two levels.
const maxDepth = 16

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// node is a JSON value as it was sent.
type node struct {
	kind    kind
	text    string // of a string, unescaped; of a number or a boolean, as written
	items   []node
	members []member
}

type member struct {
	name  string
	value node
}

// syntaxError is a body that is not JSON. It holds where and what was expected there, and nothing of the body.
type syntaxError struct {
	at   int    // byte offset
	path string // the field in which it happened, "" at the top
	code string // see fieldTexts
	want string // see wantTexts; "" when code says it all
}

// parser reads JSON (RFC 8259) strictly: a document is one value, in UTF-8, without duplicate names.
type parser struct {
	src        []byte
	at         int
	path       []string
	duplicates []string // paths of names that came twice
	err        *syntaxError
}

// parseJSON reads src whole. duplicates are the paths of names that an object holds more than once.
func parseJSON(src []byte) (n node, duplicates []string, err *syntaxError) {
	if !utf8.Valid(src) {
		at := 0
		for at < len(src) {
			r, size := utf8.DecodeRune(src[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return node{}, nil, &syntaxError{at: at, code: codeNotUTF8}
	}
	p := &parser{src: src}
	p.space()
	n = p.value(0)
	if p.err == nil {
		p.space()
		if p.at < len(src) {
			p.err = &syntaxError{at: p.at, code: codeTrailing}
		}
	}
	return n, p.duplicates, p.err
}

func (p *parser) fail(code, want string) {
	if p.err == nil {
		p.err = &syntaxError{at: p.at, path: joinPath(p.path...), code: code, want: want}
	}
}

func (p *parser) space() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.src) {
		return p.src[p.at]
	}
	return 0
}

func (p *parser) value(depth int) node {
	if depth > maxDepth {
		p.fail(codeTooDeep, "")
		return node{}
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return node{kind: kindString, text: p.str()}
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == 't':
		return p.literal("true", kindBool)
	case c == 'f':
		return p.literal("false", kindBool)
	case c == 'n':
		return p.literal("null", kindNull)
	}
	p.fail(codeMalformed, wantValue)
	return node{}
}

func (p *parser) literal(word string, k kind) node {
	if !strings.HasPrefix(string(p.src[p.at:min(len(p.src), p.at+len(word))]), word) {
		p.fail(codeMalformed, wantValue)
		return node{}
	}
	p.at += len(word)
	return node{kind: k, text: word}
}

func (p *parser) object(depth int) node {
	n := node{kind: kindObject}
	p.at++
	p.space()
	if p.peek() == '}' {
		p.at++
		return n
	}
	var seen map[string]bool // only for objects too large to search
	for {
		if p.peek() != '"' {
			p.fail(codeMalformed, wantName)
			return n
		}
		name := p.str()
		p.space()
		if p.err == nil && p.peek() != ':' {
			p.fail(codeMalformed, wantColon)
		}
		if p.err != nil {
			return n
		}
		p.at++
		p.space()
		p.path = append(p.path, name)
		if len(n.members) == 16 && seen == nil {
			seen = make(map[string]bool, 64)
			for _, m := range n.members {
				seen[m.name] = true
			}
		}
		if seen[name] || seen == nil && n.member(name) != nil {
			p.duplicates = append(p.duplicates, joinPath(p.path...))
		}
		if seen != nil {
			seen[name] = true
		}
		n.members = append(n.members, member{name, p.value(depth + 1)})
		if p.err != nil {
			return n
		}
		p.path = p.path[:len(p.path)-1]
		if !p.next('}', wantCommaOrBrace) {
			return n
		}
	}
}

func (p *parser) array(depth int) node {
	n := node{kind: kindArray}
	p.at++
	p.space()
	if p.peek() == ']' {
		p.at++
		return n
	}
	for {
		n.items = append(n.items, p.value(depth+1))
		if p.err != nil || !p.next(']', wantCommaOrBracket) {
			return n
		}
	}
}

// next passes a comma, and says whether a further element follows it.
func (p *parser) next(end byte, want string) bool {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		p.space()
		return true
	case end:
		p.at++
		return false
	}
	p.fail(codeMalformed, want)
	return false
}

func (p *parser) number() node {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	if p.peek() == '0' {
		p.at++
	} else {
		p.digits()
	}
	if p.peek() == '.' {
		p.at++
		p.digits()
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		p.digits()
	}
	return node{kind: kindNumber, text: string(p.src[start:p.at])}
}

func (p *parser) digits() {
	start := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	if p.at == start {
		p.fail(codeMalformed, wantDigit)
	}
}

// str reads a string, from its quote on.
func (p *parser) str() string {
	p.at++
	start := p.at
	var buf []byte // used from the first escape on
	for p.at < len(p.src) {
		switch c := p.src[p.at]; {
		case c == '"':
			s := p.src[start:p.at]
			p.at++
			if buf != nil {
				s = append(buf, s...)
			}
			return string(s)
		case c < 0x20:
			p.fail(codeRawControl, "")
			return ""
		case c == '\\':
			buf = append(buf, p.src[start:p.at]...)
			p.at++
			r, ok := p.escape()
			if !ok {
				return ""
			}
			buf = utf8.AppendRune(buf, r)
			start = p.at
		default:
			p.at++
		}
	}
	p.fail(codeMalformed, wantQuote)
	return ""
}

// escape reads what follows a backslash. Half a surrogate pair is refused: it is no character.
func (p *parser) escape() (rune, bool) {
	c := p.peek()
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := p.hex4()
		if ok && utf16.IsSurrogate(r) {
			if p.peek() != '\\' || p.at+1 >= len(p.src) || p.src[p.at+1] != 'u' {
				p.fail(codeMalformed, wantPair)
				return 0, false
			}
			p.at += 2
			low, lowOK := p.hex4()
			if r = utf16.DecodeRune(r, low); !lowOK || r == utf8.RuneError {
				p.fail(codeMalformed, wantPair)
				return 0, false
			}
		}
		return r, ok
	}
	p.at--
	p.fail(codeMalformed, wantEscape)
	return 0, false
}

func (p *parser) hex4() (rune, bool) {
	var r rune
	for range 4 {
		c := p.peek()
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			p.fail(codeMalformed, wantEscape)
			return 0, false
		}
		p.at++
	}
	return r, true
}

// member is the value of that name, nil when there is none.
func (n *node) member(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i].value
		}
	}
	return nil
}

// joinPath writes the path of a field. A name that none of ours could be is not repeated: it might hold anything.
func joinPath(names ...string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(safeName(name))
	}
	return b.String()
}

// safeName is name when it looks like a field's name (letters, digits, underscore, dash, at most 40), else "?". Digits alone
// are no name: they might be somebody's number.
func safeName(name string) string {
	letters := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			letters++
		case c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return "?"
		}
	}
	if letters == 0 || len(name) > 40 {
		return "?"
	}
	return name
}
