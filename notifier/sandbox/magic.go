package sandbox

// magicNumber is a number that always does the same. Those with refused are Twilio's test numbers; the others are the
// sandbox's own: 010-0003-000N, a block that is never given out in Korea, ends with code 3000N.
type magicNumber struct {
	number  string
	from    bool   // it does it as the sender of a text, else as the recipient
	refused int    // the code with which a text is refused, 0 when it is taken
	final   string // how a text that was taken ends, as Rule.Final; empty: as any text
}

// magicNumbers is the whole table, in the order of the page. It is read only. The package comment shows it, too.
var magicNumbers = []magicNumber{
	{number: "+821000030000", final: "sent"},
	{number: "+821000030001", final: "failed:30001"},
	{number: "+821000030002", final: "failed:30002"},
	{number: "+821000030003", final: "undelivered:30003"},
	{number: "+821000030004", final: "undelivered:30004"},
	{number: "+821000030005", final: "undelivered:30005"},
	{number: "+821000030006", final: "undelivered:30006"},
	{number: "+821000030007", final: "undelivered:30007"},
	{number: "+821000030008", final: "undelivered:30008"},
	{number: "+15005550001", refused: 21211},
	{number: "+15005550002", refused: 21612},
	{number: "+15005550003", refused: 21408},
	{number: "+15005550004", refused: 21610},
	{number: "+15005550009", refused: 21614},
	{number: "+15005550001", from: true, refused: 21212},
	{number: "+15005550006", from: true},
	{number: "+15005550007", from: true, refused: 21606},
	{number: "+15005550008", from: true, refused: 21611},
}

// magicOf finds what a number does as a recipient, or as a sender; the zero value when it is a number like others.
func magicOf(number string, from bool) magicNumber {
	for _, m := range magicNumbers {
		if m.number == number && m.from == from {
			return m
		}
	}
	return magicNumber{}
}
