package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// A rule looks at the tree and says what is wrong with it, one sentence a place.
type rule struct {
	name  string
	check func(tree) []string
}

// rules are checked one by one against the tree in TestTree, and against a tree that breaks them in TestRulesBite.
var rules = []rule{
	{"top level", topLevel},
	{"folder names", folderNames},
	{"import direction", importDirection},
	{"libraries at home", librariesAtHome},
	{"independent judge", independentJudge},
	{"file length", fileLength},
	{"package docs", packageDocs},
	{"exported docs", exportedDocs},
	{"nothing unfinished", nothingUnfinished},
	{"no sleeping tests", noSleepingTests},
	{"no globals, no init", noGlobals},
}

// topNames is the whole top level beside dotfiles.
var topNames = []string{"cmd", "booking", "outbox", "notifier", "schema", "test", "go.mod", "go.sum", "README.md"}

// built are the names of what go builds, which git ignores, too.
func built(name string) bool {
	return name == module || strings.HasSuffix(name, ".test") || strings.HasSuffix(name, ".out")
}

func topLevel(tr tree) (bad []string) {
	for _, name := range tr.top {
		if !strings.HasPrefix(name, ".") && !slices.Contains(topNames, name) && !built(name) {
			bad = append(bad, name+" does not belong at the top level")
		}
	}
	for _, f := range tr.files {
		if f.dir == "." {
			bad = append(bad, f.path+": no Go files at the top level")
		}
	}
	return bad
}

func folderNames(tr tree) (bad []string) {
	for _, d := range tr.dirs {
		switch path.Base(d) {
		case "util", "utils", "common", "helper", "helpers", "misc", "model", "models", "types", "service", "services", "pkg", "internal":
			bad = append(bad, d+": the name does not say what the folder is for")
		}
	}
	return bad
}

// direction says for each stage which others it may import; everything may import schema, and cmd everything.
var direction = map[string][]string{
	"schema":   {},
	"outbox":   {"schema"},
	"booking":  {"schema", "outbox"},
	"notifier": {"schema", "outbox"},
	"cmd":      {"schema", "outbox", "booking", "notifier", "cmd"},
	"test":     {"schema", "outbox", "booking", "notifier", "cmd", "test"},
}

// lookingBack are the packages that look back over all stages: the story of a reservation, and the pages for people.
var lookingBack = []string{"notifier/timeline", "notifier/resident", "notifier/console", "notifier/console/bulk"}

func importDirection(tr tree) (bad []string) {
	for _, f := range tr.files {
		from := stage(f.dir)
		for _, i := range f.imports {
			to, ours := strings.CutPrefix(i, module+"/")
			if !ours {
				continue
			}
			switch {
			case stage(to) == "test" && (f.test || from == "test"):
			case stage(to) == "test":
				bad = append(bad, fmt.Sprintf("%s imports %s: only tests may", f.path, i))
			case slices.Contains(lookingBack, f.dir) && stage(to) == "booking":
			case stage(to) == from, slices.Contains(direction[from], stage(to)):
			default:
				bad = append(bad, fmt.Sprintf("%s imports %s: %s may not import %s", f.path, i, from, stage(to)))
			}
		}
	}
	return bad
}

// stage is the first part of a path.
func stage(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// homes are the only packages that may import a library, besides tests and what lies under test. Under schema, where the
// databases' own code is, it is one package that knows which database there is. The audit reads the topic by itself: it shares
// no code with what it judges.
var homes = []struct {
	library string
	homes   []string
}{
	{"github.com/jackc/pgx/", []string{"schema/sqldb"}},
	{"modernc.org/sqlite", []string{"schema/sqldb"}},
	{"github.com/jmoiron/sqlx", []string{"schema/sqldb"}},
	{"github.com/pressly/goose/", []string{"schema"}},
	{"github.com/segmentio/kafka-go", []string{"outbox/kafka", "schema/audit"}},
	{"github.com/twmb/franz-go/", []string{"outbox/kafka"}},
	{"github.com/twilio/twilio-go", []string{"notifier/twilio"}},
}

func librariesAtHome(tr tree) (bad []string) {
	for _, f := range tr.files {
		if f.test || stage(f.dir) == "test" {
			continue
		}
		for _, i := range f.imports {
			for _, h := range homes {
				at := func(home string) bool { return f.dir == home || strings.HasPrefix(f.dir, home+"/") }
				if strings.HasPrefix(i+"/", h.library) && !slices.ContainsFunc(h.homes, at) {
					bad = append(bad, fmt.Sprintf("%s imports %s, which is for %s", f.path, i, strings.Join(h.homes, " and ")))
				}
			}
		}
	}
	return bad
}

// maxLines is the ceiling; the habit is 400.
const maxLines = 600

// independentJudge: the audit shares no code with what it judges. Of the module's packages it may use the database's, and nothing else.
func independentJudge(tr tree) (bad []string) {
	for _, f := range tr.files {
		if f.test || f.dir != "schema/audit" {
			continue
		}
		for _, i := range f.imports {
			if strings.HasPrefix(i, module+"/") && i != module+"/schema/sqldb" {
				bad = append(bad, fmt.Sprintf("%s imports %s: the judge shares no code with the judged", f.path, i))
			}
		}
	}
	return bad
}

func fileLength(tr tree) (bad []string) {
	for _, f := range tr.files {
		if f.lines > maxLines {
			bad = append(bad, fmt.Sprintf("%s has %d lines, more than %d", f.path, f.lines, maxLines))
		}
	}
	return bad
}

func packageDocs(tr tree) (bad []string) {
	documented := map[string]bool{}
	for _, f := range tr.files {
		if strings.HasSuffix(f.pkg, "_test") {
			continue
		}
		doc := f.syntax.Doc.Text()
		documented[f.dir] = documented[f.dir] || strings.HasPrefix(doc, "Package ") || f.pkg == "main" && strings.HasPrefix(doc, "Command ")
	}
	for dir, ok := range documented {
		if !ok {
			bad = append(bad, dir+`: no file begins with "// Package …"`)
		}
	}
	slices.Sort(bad)
	return bad
}

func exportedDocs(tr tree) (bad []string) {
	for _, f := range tr.files {
		if f.test || f.pkg == "main" {
			continue
		}
		for _, d := range f.syntax.Decls {
			for _, n := range undocumented(d) {
				bad = append(bad, fmt.Sprintf("%s: exported %s has no comment", f.line(n), n.Name))
			}
		}
	}
	return bad
}

// undocumented returns the exported names of a top-level declaration that nothing says anything about. In a group the
// group's comment will do, or one behind the name.
func undocumented(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Name.IsExported() {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if d.Doc == nil && s.Doc == nil && s.Comment == nil && n.IsExported() {
						names = append(names, n)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// unfinished are words that say that something is still to be done. They are put together here so that this file has none.
var unfinished = []string{"TO" + "DO", "FIX" + "ME", "X" + "XX", "not " + "implemented"}

func nothingUnfinished(tr tree) (bad []string) {
	found := func(f file, n ast.Node, text string) {
		for _, w := range unfinished {
			if strings.Contains(text, w) {
				bad = append(bad, fmt.Sprintf("%s: %s", f.line(n), w))
			}
		}
	}
	for _, f := range tr.files {
		for _, c := range f.syntax.Comments {
			found(f, c, c.Text())
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isName(call.Fun, "panic") && len(call.Args) == 1 {
				if text, ok := call.Args[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
					found(f, call, strings.ToUpper(text.Value))
				}
			}
			return true
		})
	}
	return bad
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func noSleepingTests(tr tree) (bad []string) {
	for _, f := range tr.files {
		if !f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isName(s.X, "time") && s.Sel.Name == "Sleep" {
				bad = append(bad, f.line(s)+": a test waits for a signal, it does not sleep")
			}
			return true
		})
	}
	return bad
}

// noGlobals forbids init, and assignments to package variables: those there are hold errors, tables and patterns, and are set
// where they are declared. Tests, and what is only for them, may keep what they share.
func noGlobals(tr tree) (bad []string) {
	vars := map[string]map[string]bool{} // folder → names
	for _, f := range tr.files {
		if f.test || stage(f.dir) == "test" {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				bad = append(bad, f.line(fn)+": init does work that nobody asked for")
			}
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if n.Name == "_" {
						continue
					}
					if vars[f.dir] == nil {
						vars[f.dir] = map[string]bool{}
					}
					vars[f.dir][n.Name] = true
				}
			}
		}
	}
	for _, f := range tr.files {
		if f.test || stage(f.dir) == "test" {
			continue
		}
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			local := declared(fn)
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				a, ok := n.(*ast.AssignStmt)
				if !ok || a.Tok == token.DEFINE {
					return true
				}
				for _, l := range a.Lhs {
					if id, ok := l.(*ast.Ident); ok && vars[f.dir][id.Name] && !local[id.Name] {
						bad = append(bad, fmt.Sprintf("%s: package variable %s is assigned to", f.line(a), id.Name))
					}
				}
				return true
			})
		}
	}
	return bad
}

// declared are the names that a function declares anywhere, which may hide a package's.
func declared(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, l := range n.Lhs {
					if id, ok := l.(*ast.Ident); ok {
						names[id.Name] = true
					}
				}
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.Field:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok {
					names[id.Name] = true
				}
			}
		}
		return true
	})
	return names
}
