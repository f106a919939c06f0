import type { AgentReport } from "../agent/index.ts";
import { escapeLine } from "../base/index.ts";
import { type Host, thisRuntime } from "../host/index.ts";
import { VERSION } from "../version.ts";
import { readAnswer } from "./agent-answer.ts";
import { AGENT_FLAGS, placeOf } from "./agent-place.ts";
import { asCalled, DROP_IN, defineCommand, type Input, PROGRAM } from "./contract/index.ts";
import { nameTable, type Row, stdoutOf } from "./terminal/index.ts";

const FLAGS = [
  { name: "short", shorthand: "s", type: "bool", default: false, help: "Only the version" },
  { name: "output", shorthand: "o", type: "string", default: "", help: "For programs", value: "yaml|json" },
  ...AGENT_FLAGS,
] as const;

/** Drop-in for `pilot-agent version`: its forms for programs and `--short`. Source: istio/istio pkg/version (cobra.go, version.go). */
export const command = defineCommand({
  name: "version",
  group: "container",
  summary: "Versions of pilotboat, its runtime and Envoy",
  description: [
    "Shows the versions of pilotboat, of the runtime that it runs on, and of the Envoy that it would start.",
    "With --run-folder those of the agent that runs there. --short and --output print what pilot-agent prints; called by that name, the first line is pilot-agent's without them, too.",
  ],
  flags: FLAGS,
  words: "reference",
  examples: ["pilotboat version --short", "pilotboat version -o json", "pilotboat version --run-folder ~/sidecar"],
  async run(input, host) {
    const { short: isShort, output, "run-folder": folder } = input.flags;
    const isAsked = isShort || output !== "";
    const isDropIn = host.program === DROP_IN && folder === undefined;
    if (isAsked || isDropIn) host.stdout.write(versionText(input));
    if (isAsked) return 0;
    const terminal = stdoutOf(host);
    terminal.print(nameTable(await versionRows(input.flags, host), { width: terminal.width }));
    return 0;
  },
});

/** What the reference knows of a build; `unknown` where nothing was stamped. In the order of its JSON. */
const BUILD = {
  version: VERSION,
  revision: "unknown",
  golang_version: "unknown", // there is no Go in it
  status: "unknown",
  tag: "unknown",
} as const;

/** The same as Go prints it. */
const GO_NAMES = {
  Version: "version",
  GitRevision: "revision",
  GolangVersion: "golang_version",
  BuildStatus: "status",
  GitTag: "tag",
} as const satisfies Readonly<Record<string, keyof typeof BUILD>>;

function versionText({ flags: { short: isShort, output }, usage }: Input<typeof FLAGS>): string {
  if (output === "json") return `${JSON.stringify({ clientVersion: BUILD }, null, 2)}\n`;
  if (output === "yaml") {
    const lines = Object.entries(BUILD)
      .sort()
      .map(([key, value]) => `  ${key}: ${value}`); // sorted by key
    return `clientVersion:\n${lines.join("\n")}\n\n`;
  }
  if (output !== "") throw usage("--output must be 'yaml' or 'json'");
  if (isShort) return `client version: ${BUILD.version}\n`;
  const fields = Object.entries(GO_NAMES).map(([name, key]) => `${name}:${JSON.stringify(BUILD[key])}`);
  return `client version: version.BuildInfo{${fields.join(", ")}}\n`;
}

const LIMIT_MS = 5_000;
/** `binaryPath` by default: istio/api mesh/v1alpha1/proxy.proto. */
const USUAL_ENVOY = "/usr/local/bin/envoy";

/** For people: what is not known has no row. */
async function versionRows(flags: Input<typeof FLAGS>["flags"], host: Host): Promise<Row[]> {
  if (flags["run-folder"] === undefined) {
    const { name, version } = thisRuntime();
    return [["pilotboat", VERSION], [name, version], ...(await envoyRows(host))];
  }
  const { callAgent } = await import("./call-agent.ts");
  const { body } = await callAgent(host, placeOf(flags), { method: "GET", path: "/debug/agent", limitMs: LIMIT_MS });
  return readAnswer(body, ({ version, runtime, envoyVersion }: AgentReport): Row[] => [
    ["pilotboat", escapeLine(version)],
    [escapeLine(runtime.name), escapeLine(runtime.version)],
    ...(envoyVersion === undefined ? [] : [["Envoy", escapeLine(envoyVersion)] as const]),
  ]);
}

/** The one that would be started. */
async function envoyRows({ env, cwd, program = PROGRAM }: Host): Promise<Row[]> {
  const { askedEnvoy, askVersion, findEnvoy } = await import("../envoy/binary/index.ts");
  const found = await findEnvoy({ ...askedEnvoy({}, env), usual: USUAL_ENVOY, env, cwd }).catch(() => undefined);
  if (found === undefined) return [["Envoy", asCalled("none here; pilotboat envoy fetch gets one", program)]];
  const version = found.version ?? (await askVersion(found.path, env));
  return [["Envoy", `${version === undefined ? "" : `${version}, `}${found.path}`]];
}
