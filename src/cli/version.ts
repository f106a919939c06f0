import { VERSION } from "../version.ts";
import { defineCommand, type Input } from "./contract/index.ts";

const FLAGS = [
  { name: "short", shorthand: "s", type: "bool", default: false, help: "Only the version" },
  { name: "output", shorthand: "o", type: "string", default: "", help: "For programs", value: "yaml|json" },
] as const;

/** Drop-in for `pilot-agent version`. Source: istio/istio pkg/version (cobra.go, version.go). */
export const command = defineCommand({
  name: "version",
  group: "container",
  summary: "Version of pilotboat",
  flags: FLAGS,
  words: "reference",
  examples: ["pilotboat version --short", "pilotboat version -o json"],
  async run(input, { stdout }) {
    stdout.write(versionText(input));
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
  const { version, revision, golang_version: toolchain, status, tag } = BUILD;
  const parts = { Version: version, GitRevision: revision, GolangVersion: toolchain, BuildStatus: status, GitTag: tag };
  const shown = Object.entries(parts).map(([name, value]) => `${name}:"${value}"`);
  return `client version: version.BuildInfo{${shown.join(", ")}}\n`;
}
