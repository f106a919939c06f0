import { defineCommand } from "./contract/index.ts";
import { LOCAL_ISTIOD_FLAGS } from "./use-local-istiod-flags.ts";

export const command = defineCommand({
  name: "use-local-istiod",
  group: "cluster",
  summary: "The cluster's istiod Service leads to an istiod on this machine until Ctrl-C",
  description: [
    "Makes the cluster's istiod Service lead to an istiod on this machine, for all proxies that connect from then on, until Ctrl-C.",
    "What was there is saved first and put back at the end; --restore does that after a run that was killed.",
  ],
  flags: LOCAL_ISTIOD_FLAGS,
  examples: [
    "pilotboat use-local-istiod --context kind-dev",
    "pilotboat use-local-istiod --revision canary --address 192.168.1.20 --port 25012 --port https-webhook=25017",
    "pilotboat use-local-istiod --restore",
  ],
  similar: ["intercept", "swap", "telepresence"],
  async run(input, host) {
    const { leadOrRestore } = await import("./lead-istiod.ts");
    return leadOrRestore(input, host);
  },
});
