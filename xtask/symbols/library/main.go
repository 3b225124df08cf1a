// A program that much of the standard library is linked into, and which tells what its runtime knows of its code. It builds with any
// Go that is supported.
package main

import (
	"archive/zip"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"html/template"
	"image/png"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"

	"github.com/syncline/syncline/symbols/walk"
)

func main() {
	if walk.Asked() {
		walk.Run()
		return
	}
	// Never runs: what is named here is linked in.
	fmt.Println(use(os.Args...))
}

func use(args ...string) []any {
	reader, err := zip.OpenReader(args[0])
	files, parseErr := parser.ParseFile(token.NewFileSet(), args[0], nil, 0)
	config := types.Config{Importer: importer.Default()}
	pkg, typeErr := config.Check(args[0], token.NewFileSet(), []*ast.File{files}, nil)
	image, imageErr := png.Decode(os.Stdin)
	page := template.Must(template.New("page").Parse(args[0]))
	keys := maps.Clone(map[string]int{args[0]: 1})
	slices.SortFunc(args, func(a, b string) int { return len(a) - len(b) })
	database, sqlErr := sql.Open(args[0], args[0])
	go http.ListenAndServe(args[0], http.DefaultServeMux)
	defer tls.Dial("tcp", args[0], nil)
	return []any{
		reader, err, parseErr, pkg, typeErr, image, imageErr, page.Execute(os.Stdout, keys), database, sqlErr,
		json.Unmarshal([]byte(args[0]), &keys), xml.Unmarshal([]byte(args[0]), &keys), regexp.MustCompile(args[0]),
	}
}
