package trail

import (
	"testing"

	"go.uber.org/goleak"

	"ansim/test/leaks"
)

// TestMain fails when something still runs after all that the tests started was stopped, but for the database's own process,
// which ends with this one.
func TestMain(m *testing.M) {
	leaks.Main(m, goleak.IgnoreAnyFunction("ansim/test/dbtest.(*Server).Start.func1"))
}
