import { runProxy } from "../agent/index.ts";
import { ALL_FLAGS, CATALOGUE, flagHelp } from "../config/index.ts";
import { finishOutput, type Host, lossyOutput } from "../host/index.ts";

/** `pilotboat proxy [type]`: the drop-in for pilot-agent. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    host.stdout.write(helpText());
    return 0;
  }
  // who does not read the log must not hold up Envoy, whose lines go the same way
  const [stdout, stderr] = [lossyOutput(host.stdout), lossyOutput(host.stderr)];
  try {
    return await runProxy({ args }, { ...host, stdout, stderr });
  } finally {
    await Promise.all([finishOutput(stdout), finishOutput(stderr)]); // before the reason of a failure is printed
  }
}

function helpText(): string {
  const rows = ALL_FLAGS.map((flag) => [`  --${flag.name} ${flag.type}`, flagHelp(flag)] as const);
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    "Usage: pilotboat proxy [sidecar|router|waypoint|ztunnel|agentgateway] [flags]",
    "",
    "Runs Envoy as a member of the mesh until a signal. Flags, variables and files are those of pilot-agent proxy;",
    "flags it does not know are passed over.",
    "",
    "Flags:",
    ...rows.map(([left, help]) => `${left.padEnd(width)}  ${help}`),
    "",
    'Variables, by what they are for; defaults and types: "pilotboat config explain NAME", docs/config.md:',
    ...variableRows(),
    "",
    "By prefix: ISTIO_META_ and ISTIO_METAJSON_ (node metadata), XDS_HEADER_ and CA_HEADER_ (headers of the connections).",
    "",
    "Example:",
    `  PROXY_CONFIG='{"discoveryAddress":"localhost:15012"}' POD_NAMESPACE=default SERVICE_ACCOUNT=default \\`,
    "    pilotboat proxy sidecar",
    "",
    "Exit codes: 0 stopped as asked; Envoy's own, or 128 + signal, when it ended by itself; 2 configuration; 1 other.",
    "",
  ].join("\n");
}

/** Those that have an effect, each in one line. */
function variableRows(): string[] {
  const rows = Object.values(CATALOGUE).filter((row) => !("withoutEffect" in row));
  const width = Math.max(...rows.map(({ env }) => env.length));
  return [...new Set(rows.map(({ room }) => room))].flatMap((room) => [
    `  ${room}`,
    ...rows.filter((row) => row.room === room).map(({ env, help }) => `    ${env.padEnd(width)}  ${help}`),
  ]);
}
