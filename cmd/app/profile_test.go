package app

import (
	"errors"
	"testing"
)

func TestProfilesAreForThisMachineAlone(t *testing.T) {
	t.Parallel()
	for addr, ok := range map[string]bool{"": true, "127.0.0.1:6060": true, "[::1]:0": true, "localhost:6060": true, "127.9.9.9:1": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "10.0.0.1:6060": false, "example.org:6060": false, "6060": false} {
		if err := checkProfile(addr); (err == nil) != ok || err != nil && !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
