// Command controlplane is the Kubernetes control plane in one binary: its first argument, or the name it is called by, says which part runs.
//
// One binary instead of five links the shared libraries once, which saves minutes of build time and half a gigabyte of disk.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var parts = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubectl":                 func() *cobra.Command { return kubectl.NewDefaultKubectlCommand() },
}

func main() {
	called := filepath.Base(os.Args[0])
	if called != "etcd" && parts[called] == nil {
		if len(os.Args) < 2 {
			fail("usage: controlplane etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubectl [flags]")
		}
		os.Args = os.Args[1:]
		called = os.Args[0]
	}
	if called == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	command, known := parts[called]
	if !known {
		fail(fmt.Sprintf("controlplane: no part named %q", called))
	}
	os.Exit(cli.Run(command()))
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}
