package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "ansim"

// file is one Go file of the module.
type file struct {
	path    string // from the module's root, with slashes
	dir     string
	test    bool
	lines   int
	imports []string
	pkg     string // as the package clause says
	syntax  *ast.File
	set     *token.FileSet
}

// tree is what the rules look at.
type tree struct {
	top   []string // names at the top level
	dirs  []string // every folder with a Go file or a folder in it, from the root
	files []file
}

// readTree reads the module above this package.
func readTree(t *testing.T) tree {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var tr tree
	for _, e := range entries {
		tr.top = append(tr.top, e.Name())
	}
	err = filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			tr.dirs = append(tr.dirs, rel)
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parseFile(rel, source)
		if err != nil {
			return err
		}
		tr.files = append(tr.files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.files) < 20 {
		t.Fatalf("only %d Go files found from %s", len(tr.files), root)
	}
	return tr
}

func parseFile(rel string, source []byte) (file, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, rel, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), pkg: syntax.Name.Name, syntax: syntax, set: set}
	f.lines = bytes.Count(source, []byte("\n"))
	for _, i := range syntax.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, p)
	}
	return f, nil
}

// line is where a node stands, as path:line.
func (f file) line(n ast.Node) string {
	return f.path + ":" + strconv.Itoa(f.set.Position(n.Pos()).Line)
}
