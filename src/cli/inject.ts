import { defineCommand } from "./contract/index.ts";
import { INJECT_FLAGS } from "./inject-flags.ts";

export const command = defineCommand({
  name: "inject",
  group: "cluster",
  summary: "Add the sidecar to manifests, as Istio's webhook would",
  description: [
    "Prints manifests with what Istio's injection webhook would add to their pods. Nothing in the cluster is changed.",
    "Templates, values and mesh configuration come from the cluster, or from files that the flags name, or with --built-in from pilotboat itself. Manifests without a pod, and pods that ask for no injection, are printed as they are.",
  ],
  usage: ["-f FILE|FOLDER|- [flags]"],
  flags: INJECT_FLAGS,
  examples: [
    "pilotboat inject -f deployment.yaml | kubectl apply -f -",
    "kubectl get deployment web -o yaml | pilotboat inject -f - --diff",
    "pilotboat inject -f manifests/ --built-in --image registry.example.com/pilotboat:1.0",
  ],
  similar: ["kube-inject", "injector"],
  async run(input, host) {
    const { inject } = await import("./inject-run.ts");
    return inject(input, host);
  },
});
