// Command tfgen writes the plugin's schema and the bridge's metadata.
//
// usage: tfgen schema --out DIRECTORY
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"

	"homelab/toolchain/proxmoxve/bridge"
)

func main() { tfgen.MainWithMuxer(bridge.Package, bridge.Provider([]byte("{}"))) }
