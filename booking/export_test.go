package booking

import "time"

// Watched is opts with f called whenever the writer takes up a batch.
func Watched(opts Options, f func()) Options {
	opts.began = f
	return opts
}

// SetNow replaces the clock of the cache of keys.
func (k *Keys) SetNow(now func() time.Time) { k.now = now }

// NewCode makes a code.
var NewCode = newCode
