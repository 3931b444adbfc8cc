package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// buildDir is the folder of the binary; built makes it at the first use.
var (
	buildDir  string
	buildOnce sync.Once
	buildErr  error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// binary is the path of the program under test.
func binary(t testing.TB) string {
	t.Helper()
	buildOnce.Do(func() { buildErr = build() })
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return filepath.Join(buildDir, "ansim")
}

func build() (err error) {
	if buildDir, err = os.MkdirTemp("", "ansim-e2e-"); err != nil {
		return err
	}
	args := []string{"build", "-o", filepath.Join(buildDir, "ansim")}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "ansim/cmd/ansim")...).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("build the binary: %w", err), errors.New(string(out)))
	}
	return nil
}
