package kafkatest

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gofrs/flock"
)

// version is that of the pom; it names the cache folder.
const version = "4.3.1"

//go:embed pom.xml
var pom []byte

var errNoJars = errors.New("no Kafka jars: set ANSIM_TEST_KAFKA_LIBS to a folder of them, or ANSIM_TEST_REQUIRE=1 to have Maven fetch them")

// libs returns the folder of Kafka's jars.
func libs() (string, error) {
	if dir := os.Getenv("ANSIM_TEST_KAFKA_LIBS"); dir != "" {
		if !complete(dir) {
			return "", fmt.Errorf("no kafka_2.13-*.jar in ANSIM_TEST_KAFKA_LIBS=%s", dir)
		}
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "ansim-test", "kafka-"+version)
	if complete(dir) {
		return dir, nil
	}
	if os.Getenv("ANSIM_TEST_REQUIRE") != "1" {
		return "", errNoJars
	}
	return dir, fill(dir)
}

// complete says whether dir holds the jars. A folder is filled under another name and then renamed, so one is enough.
func complete(dir string) bool {
	jars, err := filepath.Glob(filepath.Join(dir, "kafka_2.13-*.jar"))
	return err == nil && len(jars) > 0
}

// fill has Maven copy the jars to dir. The lock is for test binaries of several packages that start at once.
func fill(dir string) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock cache of jars: %w", err)
	}
	defer lock.Unlock()
	if complete(dir) {
		return nil
	}
	work, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	cmd := exec.Command("mvn", "-q", "-B", "-f", "pom.xml", "dependency:copy-dependencies", "-DoutputDirectory=libs", "-DincludeScope=runtime")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch Kafka jars with mvn: %w\n%s", err, out)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(filepath.Join(work, "libs"), dir)
}
