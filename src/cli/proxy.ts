import { finishOutput, lossyOutput } from "../host/index.ts";
import { defineCommand, flagHelp, PROXY_FLAGS, PROXY_TYPE, type Section } from "./contract/index.ts";
import { reportOutcome } from "./print-error.ts";

/** The drop-in for pilot-agent: its words are read by `config`, as pflag does it. */
export const command = defineCommand({
  name: "proxy",
  group: "run",
  summary: "The sidecar or gateway agent: drop-in for pilot-agent proxy",
  description: [
    "Runs Envoy as a member of the mesh until a signal. Flags, variables and files are those of pilot-agent proxy; flags it does not know are ignored.",
  ],
  usage: ["[TYPE] [flags]"],
  arguments: [PROXY_TYPE],
  flags: PROXY_FLAGS.map((flag) => ({ ...flag, help: flagHelp(flag) })),
  words: "verbatim",
  sections: async () => [
    {
      title: 'Variables, by what they are for; defaults and types: "pilotboat config explain NAME", docs/config.md',
      lists: await variables(),
    },
    {
      title: "By prefix",
      text: "ISTIO_META_ and ISTIO_METAJSON_ (node metadata), XDS_HEADER_ and CA_HEADER_ (headers of the connections).",
    },
    {
      title: "Exit codes",
      text: "0 stopped as asked; Envoy's own, or 128 + signal, when it exited by itself; 2 configuration; 1 anything else.",
    },
  ],
  examples: [
    `PROXY_CONFIG='{"discoveryAddress":"localhost:15012"}' POD_NAMESPACE=default SERVICE_ACCOUNT=default \\\n  pilotboat proxy sidecar`,
  ],
  similar: ["agent", "sidecar", "pilot-agent"],
  async run({ words }, host) {
    const { runProxy } = await import("../agent/index.ts");
    // a reader that is slow must not hold up Envoy, whose lines go the same way
    const [stdout, stderr] = [lossyOutput(host.stdout), lossyOutput(host.stderr)];
    try {
      return reportOutcome({ ...host, stderr }, await runProxy({ args: words }, { ...host, stdout, stderr }));
    } finally {
      await Promise.all([finishOutput(stdout), finishOutput(stderr)]); // before the reason of a failure is printed
    }
  },
});

/** Those that have an effect, by what they are for. */
async function variables(): Promise<NonNullable<Section["lists"]>> {
  const { CATALOGUE } = await import("../config/index.ts");
  const rows = Object.values(CATALOGUE).filter((row) => !("withoutEffect" in row));
  return [...new Set(rows.map(({ room }) => room))].map((room) => ({
    title: room,
    rows: rows.filter((row) => row.room === room).map(({ env, help }) => [env, help]),
  }));
}
