// Command proxmoxve is the Pulumi plugin for Proxmox VE.
//
// It embeds the schema and the bridge's metadata, which tfgen writes into generated/ before this command is built.
package main

import (
	"context"
	"embed"
	"fmt"
	"os"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"homelab/toolchain/proxmoxve/bridge"
)

//go:embed generated
var generated embed.FS

func main() {
	provider := bridge.Provider(read("bridge-metadata.json"))
	pf.MainWithMuxer(context.Background(), bridge.Package, provider, read("schema.json"))
}

// read returns a generated file, or stops: a plugin that was built without it cannot serve anything.
func read(name string) []byte {
	content, err := generated.ReadFile("generated/" + name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-%s was built without %s: run tfgen schema --out generated first\n", bridge.Package, name)
		os.Exit(1)
	}
	return content
}
