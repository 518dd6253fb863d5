// Command kubernetes is the Pulumi Kubernetes provider without its embedded schema.
//
// The schema (300 MB in the official build) serves SDK generation and `pulumi import`, not programs.
package main

import "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"

// Set by the linker from the one list of versions.
var version = "0.0.0"

func main() { provider.Serve("kubernetes", version, []byte("{}"), []byte("{}")) }
