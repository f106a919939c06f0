import { CLONE_FLAGS } from "./clone-flags.ts";
import { defineCommand } from "./contract/index.ts";

export const command = defineCommand({
  name: "clone",
  group: "cluster",
  summary: "A sidecar on this machine with the identity of a pod",
  description: [
    "Starts a sidecar on this machine that istiod takes for the one of a pod: same id, service account, labels and settings. The pod is not disturbed, and no traffic for it comes here.",
    "With a program after -- it runs that beside the sidecar, as run does, and returns its exit code; without one it stays until Ctrl-C.",
  ],
  usage: ["[pod/|deploy/|svc/]NAME [flags] [-- PROGRAM [ARGUMENTS...]]"],
  arguments: [
    { name: "[pod/|deploy/|svc/]NAME", help: "The pod, or what it belongs to: then its first pod that is ready" },
  ],
  flags: CLONE_FLAGS,
  takesProxyFlags: true,
  words: "beside",
  sections: async () => [
    {
      title: "Variables that the program gets",
      rows: [
        [
          "PILOTBOAT_HTTP_PROXY",
          "Envoy as an HTTP proxy: http_proxy=$PILOTBOAT_HTTP_PROXY reaches every HTTP service of the mesh",
        ],
        ["PILOTBOAT_STATUS_URL, PILOTBOAT_ADMIN_URL, PILOTBOAT_NODE_ID, PILOTBOAT_RUN_FOLDER", "As with run"],
      ],
    },
  ],
  examples: [
    "pilotboat clone web -n shop --dry-run",
    "pilotboat clone deploy/web -n shop -- sh -c 'http_proxy=$PILOTBOAT_HTTP_PROXY curl -i http://cart.shop/'",
    "pilotboat clone svc/web --context kind-dev -- node server.js",
  ],
  similar: ["impersonate"],
  async run(input, host) {
    const { clone } = await import("./clone-run.ts");
    return clone(input, host);
  },
});
