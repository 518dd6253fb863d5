// Package bridge maps the upstream Proxmox provider onto the tokens that the pulumi_proxmoxve SDK asks for.
package bridge

import (
	"context"
	"strings"

	"github.com/bpg/terraform-provider-proxmox/fwprovider"
	"github.com/bpg/terraform-provider-proxmox/proxmoxtf/provider"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

// Package is the name of the Pulumi package.
const Package = "proxmoxve"

// Upstream is renaming its resources; the SDK calls those that keep the long prefix legacy.
const (
	prefix       = "proxmox_"
	legacyPrefix = "proxmox_virtual_environment_"
)

// bridgeNamed is the one resource whose chosen id the SDK has under the name that the bridge makes up.
const bridgeNamed = "proxmox_sdn_controller_evpn"

// Version is that of the SDK. The linker sets it.
var Version = "0.0.0"

// Provider returns the upstream provider under the SDK's names.
func Provider(metadata []byte) tfbridge.ProviderInfo {
	upstream := pf.MuxShimWithPF(
		context.Background(),
		sdkv2.NewProvider(provider.ProxmoxVirtualEnvironment()),
		fwprovider.New(Version)(),
	)
	info := tfbridge.ProviderInfo{
		P:            upstream,
		Resources:    renameIDs(upstream.ResourcesMap()),
		Name:         "proxmox",
		Version:      Version,
		GitHubOrg:    "bpg",
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		// Experimental virtual machines with integer ids, which upstream documents as not for production.
		IgnoreMappings: []string{
			"proxmox_vm", "proxmox_virtual_environment_vm2",
			"proxmox_cloned_vm", "proxmox_virtual_environment_cloned_vm",
		},
	}
	info.MustComputeTokens(tfbridge.Strategy{Resource: nameResource, DataSource: nameDataSource})
	info.SetAutonaming(255, "-")
	return info
}

// renameIDs gives an id that the user chooses the name that the SDK has for it: the engine keeps "id" for itself.
func renameIDs(resources shim.ResourceMap) map[string]*tfbridge.ResourceInfo {
	renamed := map[string]*tfbridge.ResourceInfo{}
	resources.Range(func(upstream string, resource shim.Resource) bool {
		id, has := resource.Schema().GetOk("id")
		if has && id.Type() == shim.TypeString && (id.Required() || id.Optional()) && upstream != bridgeNamed {
			renamed[upstream] = &tfbridge.ResourceInfo{
				Fields:    map[string]*tfbridge.SchemaInfo{"id": {Name: "resourceId"}},
				ComputeID: tfbridge.DelegateIDField("resourceId", Package, "https://github.com/bpg/terraform-provider-proxmox"),
			}
		}
		return true
	})
	return renamed
}

func nameResource(upstream string, resource *tfbridge.ResourceInfo) error {
	module, name := split(upstream)
	resource.Tok = tfbridge.MakeResource(Package, module, name)
	return nil
}

func nameDataSource(upstream string, source *tfbridge.DataSourceInfo) error {
	module, name := split(upstream)
	source.Tok = tfbridge.MakeDataSource(Package, module, "get"+name)
	return nil
}

// split turns proxmox_virtual_environment_network_linux_bridge into network/linux and BridgeLegacy.
func split(upstream string) (module, name string) {
	rest, legacy := strings.CutPrefix(upstream, legacyPrefix)
	if !legacy {
		rest = strings.TrimPrefix(upstream, prefix)
	}
	words := strings.Split(rest, "_")
	last := len(words) - 1
	module, name = "index", capitalize(words[last])
	if last > 0 {
		module = strings.Join(words[:last], "/")
	}
	if legacy {
		name += "Legacy"
	}
	return module, name
}

func capitalize(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
