// Command redis serves an in-memory Redis with a password for the sandbox's Argo CD, which keeps only caches in it.
//
// usage: redis ADDRESS, with the password in REDIS_PASSWORD
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 2 || os.Getenv("REDIS_PASSWORD") == "" {
		fmt.Fprintln(os.Stderr, "usage: redis ADDRESS, with the password in REDIS_PASSWORD")
		os.Exit(2)
	}
	server := miniredis.NewMiniRedis()
	server.RequireAuth(os.Getenv("REDIS_PASSWORD"))
	if err := server.StartAddr(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "redis:", err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	server.Close()
}
