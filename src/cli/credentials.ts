import { defineCommand } from "./contract/index.ts";
import { CREDENTIALS_FLAGS } from "./credentials-flags.ts";

export const command = defineCommand({
  name: "credentials",
  group: "cluster",
  summary: "A token and the mesh's root from a cluster, where a sidecar reads them",
  description: [
    "Gets a token of a service account and the mesh's root certificate, for a sidecar on this machine.",
    "The files are those of a sidecar that runs in the folder: var/run/secrets/tokens/istio-token and var/run/secrets/istio/root-cert.pem, mode 0600.",
  ],
  flags: CREDENTIALS_FLAGS,
  examples: [
    "pilotboat credentials -n shop --service-account cart --run-folder ~/cart",
    "pilotboat credentials -n shop --service-account cart --run-folder ~/cart --keep   # renews them until Ctrl-C",
    "pilotboat credentials --context kind-dev --duration 1h -o json",
  ],
  similar: ["login", "token"],
  async run({ flags }, host) {
    const { obtain } = await import("./credentials-obtain.ts");
    await obtain(flags, host);
    return 0;
  },
});
