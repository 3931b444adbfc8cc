package notifier

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonHasASentence reads the reasons where they are declared, so that a new one cannot be forgotten.
func TestEveryReasonHasASentence(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "message.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		reasons++
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := Explain(reason); !ok || s.Ko == "" || s.En == "" {
			t.Errorf("%s has no sentence in both languages", spec.Names[0].Name)
		}
		return true
	})
	if reasons != len(sentences) || reasons < 15 {
		t.Errorf("%d reasons are declared, %d have sentences", reasons, len(sentences))
	}
	if _, ok := Explain("error-30003"); ok {
		t.Error("the provider's codes are the provider's to explain")
	}
}
