import { AgentError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { VERSION } from "../version.ts";
import { parseStrictFlags } from "./strict-flags.ts";

const HELP = `Usage: pilotboat version [flags]

Flags:
  -s, --short             only the version
  -o, --output yaml|json  for programs

Examples:
  pilotboat version --short
  pilotboat version -o json
`;

const FLAGS = [
  { name: "short", shorthand: "s", type: "bool", default: false, help: "" },
  { name: "output", shorthand: "o", type: "string", default: "", help: "" },
] as const;

/** What the reference knows of a build; `unknown` where nothing was stamped. In the order of its JSON. */
const BUILD = {
  version: VERSION,
  revision: "unknown",
  golang_version: "unknown", // there is no Go in it
  status: "unknown",
  tag: "unknown",
} as const;

/** Drop-in for `pilot-agent version`. Source: istio/istio pkg/version (cobra.go, version.go). */
export async function run(args: readonly string[], host: Host): Promise<number> {
  const { flags, wantsHelp } = parseStrictFlags("version", args, FLAGS);
  host.stdout.write(wantsHelp ? HELP : versionText(flags));
  return 0;
}

function versionText({ short: isShort, output }: { readonly short: boolean; readonly output: string }): string {
  if (output === "json") return `${JSON.stringify({ clientVersion: BUILD }, null, 2)}\n`;
  if (output === "yaml") {
    const lines = Object.entries(BUILD)
      .sort()
      .map(([key, value]) => `  ${key}: ${value}`); // sorted by key
    return `clientVersion:\n${lines.join("\n")}\n\n`;
  }
  if (output !== "") throw new AgentError("USAGE", "--output must be 'yaml' or 'json'");
  if (isShort) return `client version: ${BUILD.version}\n`;
  const { version, revision, golang_version: toolchain, status, tag } = BUILD;
  const parts = { Version: version, GitRevision: revision, GolangVersion: toolchain, BuildStatus: status, GitTag: tag };
  const shown = Object.entries(parts).map(([name, value]) => `${name}:"${value}"`);
  return `client version: version.BuildInfo{${shown.join(", ")}}\n`;
}
