// Command redis serves an in-memory Redis over TLS and with a password, for the sandbox's Argo CD, which keeps only caches in it.
//
// usage: redis ADDRESS CERTIFICATE KEY, with the password in REDIS_PASSWORD
package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 4 || os.Getenv("REDIS_PASSWORD") == "" {
		fmt.Fprintln(os.Stderr, "usage: redis ADDRESS CERTIFICATE KEY, with the password in REDIS_PASSWORD")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "redis:", err)
		os.Exit(1)
	}
}

func serve(address, certificate, key string) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	server := miniredis.NewMiniRedis()
	server.RequireAuth(os.Getenv("REDIS_PASSWORD"))
	if err := server.StartAddrTLS(address, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}); err != nil {
		return err
	}
	defer server.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return nil
}
