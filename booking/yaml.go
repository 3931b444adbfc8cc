package booking

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// fileProblem is something wrong in a programme file.
type fileProblem struct {
	line int // 0: none in particular
	path string
	text string
}

// fileReader reads a YAML document strictly and collects every problem with its line, where a decoder into structs would
// stop at the first and forget the lines of the rest.
type fileReader struct{ problems []fileProblem }

func (f *fileReader) add(n ast.Node, path, format string, args ...any) {
	line := 0
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		line = n.GetToken().Position.Line
	}
	f.problems = append(f.problems, fileProblem{line, path, fmt.Sprintf(format, args...)})
}

// err is all problems in the order of lines, nil when there are none. It wraps ErrProgrammeFile.
func (f *fileReader) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(f.problems, func(x, y fileProblem) int { return cmp.Compare(x.line, y.line) })
	var b strings.Builder
	for _, p := range f.problems {
		b.WriteString("\n  ")
		if p.line > 0 {
			fmt.Fprintf(&b, "line %d: ", p.line)
		}
		if p.path != "" {
			b.WriteString(p.path + " ")
		}
		b.WriteString(p.text)
	}
	return fmt.Errorf("%w:%s", ErrProgrammeFile, b.String())
}

// document parses data as one YAML document and returns its root, nil when there is a problem.
func (f *fileReader) document(data []byte) ast.Node {
	file, err := parser.ParseBytes(data, 0)
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.Token != nil && syntax.Token.Position != nil:
		f.problems = append(f.problems, fileProblem{syntax.Token.Position.Line, "", "not YAML: " + syntax.Message})
	case err != nil:
		f.problems = append(f.problems, fileProblem{0, "", "this is not YAML"})
	case len(file.Docs) != 1 || file.Docs[0].Body == nil:
		f.problems = append(f.problems, fileProblem{0, "", "the file must hold one YAML document"})
	default:
		return file.Docs[0].Body
	}
	return nil
}

// mapping returns the fields of n. Fields that are not known are problems; those that are required must be there.
func (f *fileReader) mapping(n ast.Node, path string, required, optional []string) map[string]ast.Node {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		f.add(n, path, "must be a mapping with the fields %s", strings.Join(append(slices.Clone(required), optional...), ", "))
		return nil
	}
	fields := make(map[string]ast.Node, len(values))
	for _, v := range values {
		key := v.Key.GetToken().Value
		if !slices.Contains(required, key) && !slices.Contains(optional, key) {
			f.add(v.Key, join(path, key), "is an unknown field; known here: %s",
				strings.Join(append(slices.Clone(required), optional...), ", "))
			continue
		}
		fields[key] = v.Value
	}
	for _, key := range required {
		if fields[key] == nil {
			f.add(n, join(path, key), "is missing")
		}
	}
	return fields
}

// sequence returns the elements of n; a missing or null n has none.
func (f *fileReader) sequence(n ast.Node, path string) []ast.Node {
	switch s := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.SequenceNode:
		return s.Values
	}
	f.add(n, path, "must be a list")
	return nil
}

// scalar returns the text of n, as it stands in the file. A missing n is "", and no problem here.
func (f *fileReader) scalar(n ast.Node, path string) (string, bool) {
	switch s := n.(type) {
	case nil:
		return "", false
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return s.GetToken().Value, true
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		f.add(n, path, "must be written out: anchors, aliases and tags are not understood here")
		return "", false
	}
	f.add(n, path, "must be a single value")
	return "", false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
