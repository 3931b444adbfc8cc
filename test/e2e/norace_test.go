//go:build !race

package e2e

// raceEnabled says that the race detector watches, which makes everything several times slower.
const raceEnabled = false
