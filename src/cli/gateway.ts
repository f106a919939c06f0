import { defineCommand } from "./contract/index.ts";
import { GATEWAY_FLAGS } from "./gateway-flags.ts";

export const command = defineCommand({
  name: "gateway",
  group: "cluster",
  summary: "A gateway of the cluster on this machine, with curl lines that reach it",
  description: [
    "Starts an Envoy on this machine that istiod takes for a gateway: an Istio Gateway by its selector, or else one of the Gateway API.",
    "Service account, labels and settings are those of the gateway's pods. Listeners whose port this machine does not have are moved. When it is ready a curl line is printed for each host of each listener. It stays until Ctrl-C, or until the program after -- exits.",
  ],
  usage: ["NAME [flags] [-- PROGRAM [ARGUMENTS...]]"],
  arguments: [{ name: "NAME", help: "The Gateway" }],
  flags: GATEWAY_FLAGS,
  takesProxyFlags: true,
  words: "beside",
  examples: ["pilotboat gateway public -n istio-ingress", "pilotboat gateway public -n shop --dry-run"],
  similar: ["ingress"],
  async run(input, host) {
    const { gateway } = await import("./gateway-run.ts");
    return gateway(input, host);
  },
});
