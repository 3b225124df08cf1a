package main

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
)

// reportLayout prints "struct TAB field TAB offset" of runtime structures from a program's debug information.
func reportLayout(program string) {
	file, err := elf.Open(program)
	if err != nil {
		panic(err)
	}
	data, err := file.DWARF()
	if err != nil {
		panic(err)
	}
	wanted := map[string]bool{
		"runtime.g": true, "runtime.gobuf": true, "runtime.stack": true, "runtime.m": true,
		"runtime.pollDesc": true, "runtime.moduledata": true,
	}
	reader := data.Reader()
	for {
		entry, err := reader.Next()
		if err != nil {
			panic(err)
		}
		if entry == nil {
			return
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		if entry.Tag != dwarf.TagStructType || !wanted[name] {
			continue
		}
		kind, err := data.Type(entry.Offset)
		if err != nil {
			panic(err)
		}
		for _, field := range kind.(*dwarf.StructType).Field {
			fmt.Printf("%s\t%s\t%d\n", name, field.Name, field.ByteOffset)
		}
	}
}
