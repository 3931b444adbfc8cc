package booking

import (
	"crypto/rand"
	"strings"
)

// codeAlphabet is Crockford's base 32: no I, L, O, U. 10 letters are 50 bits.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeLength   = 10
)

// newCode makes a reservation code.
func newCode() string {
	var b [codeLength]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	for i := range b {
		b[i] = codeAlphabet[b[i]&31] // 32 divides 256, so each letter is as likely
	}
	return string(b[:])
}

// FormatCode writes a code as people see it: K7Q29-3TX4M. What is not a stored code comes back as it is.
func FormatCode(code string) string {
	if len(code) != codeLength {
		return code
	}
	return code[:codeLength/2] + "-" + code[codeLength/2:]
}

// ParseCode reads a code as people type it: with or without dashes and spaces, in lower case, O for 0, I and L for 1. The
// error is a *ValidationProblem.
func ParseCode(s string) (string, error) {
	b := make([]byte, 0, codeLength)
	for _, r := range s {
		switch {
		case r == '-' || r == ' ' || r == '\t' || r == '‐' || r == '–' || r == '−':
			continue
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		case r >= '０' && r <= '９': // full width, as Korean keyboards may give
			r -= '０' - '0'
		case r >= 'Ａ' && r <= 'Ｚ':
			r -= 'Ａ' - 'A'
		case r >= 'ａ' && r <= 'ｚ':
			r -= 'ａ' - 'A'
		}
		switch r {
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if r > 'Z' || strings.IndexByte(codeAlphabet, byte(r)) < 0 || len(b) == codeLength {
			return "", problem(SlugCode)
		}
		b = append(b, byte(r))
	}
	if len(b) != codeLength {
		return "", problem(SlugCode)
	}
	return string(b), nil
}
