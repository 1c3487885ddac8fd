// Says hello, where it was built and what it was given, so that a run of the image can be checked.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	fmt.Println("Hello from a multi-stage build!")
	fmt.Printf("compiled by %s for %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if words := os.Args[1:]; len(words) > 0 {
		fmt.Printf("given: %s\n", strings.Join(words, " "))
	}
}
