import { appendFileSync } from "node:fs";
import { resolve } from "node:path";
import { AgentError, createLogger, type Logger } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { defineCommand, type Input } from "./contract/index.ts";
import { REDIRECT_FLAGS, REDIRECT_VARIABLES } from "./iptables-flags.ts";
import { printError } from "./print-error.ts";

const FLAGS = REDIRECT_FLAGS.map(({ setting: _, variables, ...flag }) => ({
  ...flag,
  help: variables.length === 0 ? flag.help : `${flag.help} (${variables.join(", ")})`,
}));

/** Drop-in for `pilot-agent istio-iptables`, whose name is an alias. */
export const command = defineCommand({
  name: "iptables",
  group: "container",
  summary: "Rules that send a pod's traffic through Envoy: drop-in for pilot-agent istio-iptables",
  description: [
    "Makes the rules by which traffic of this network namespace goes through Envoy, and leaves them alone where they are there already.",
    "Each flag has the variables that stand behind it; the last one that is set counts, and the flag beats them.",
  ],
  flags: FLAGS,
  words: "reference",
  sections: async () => [
    {
      title: "Variables without a flag",
      rows: REDIRECT_VARIABLES.map(([name, usual, help]) => [name, usual === "" ? help : `${help}; default: ${usual}`]),
    },
    {
      title: "Exit codes",
      text: "0 the rules are as wanted; 126 the check of --run-validation failed; 1 anything else; 2 a flag that cannot be understood.",
    },
  ],
  examples: [
    `pilotboat iptables -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x "" -b '*' -d 15090,15021,15020`,
    "pilotboat iptables --dry-run --redirect-dns -i '*' -b '*'",
    "pilotboat iptables -i '*' -b '*' --cleanup-only",
  ],
  aliases: ["istio-iptables"],
  similar: ["istio-clean-iptables", "nftables", "nft", "redirect"],
  run: ({ given }, host) => redirect(given, host),
});

/** What the reference ends with for whatever fails, and for its check. */
const FAILED = 1;
const NOT_REDIRECTED = 126;

async function redirect(given: Input<[]>["given"], host: Host): Promise<number> {
  const [{ readSettings }, { redirectTraffic }] = await Promise.all([
    import("./iptables-settings.ts"),
    import("../redirect/index.ts"),
  ]);
  const { settings, origin, warnings } = readSettings(given, host.env);
  const log = await openLog(given, host);
  for (const warning of warnings) log.warn(warning);
  try {
    await redirectTraffic({ settings, origin, env: host.env, log, stop: host.signals.stop });
    return 0;
  } catch (error) {
    if (!(error instanceof AgentError) || error.code === "STOPPED") throw error;
    printError(host, error);
    return error.code === "REDIRECT_NOT_SEEN" ? NOT_REDIRECTED : FAILED;
  }
}

/** To stdout or where --log_target says: a listing keeps its lines. Throws USAGE for levels that are none. */
async function openLog(given: Input<[]>["given"], host: Host): Promise<Logger> {
  const text = given.get("log_output_level");
  const targets = given.get("log_target");
  const sinks = (Array.isArray(targets) ? targets : ["stdout"]).map((target: string) => sinkOf(target, host));
  return createLogger({
    write: (line) => {
      for (const sink of sinks) sink(line);
    },
    keepsLines: true,
    asJson: given.get("log_as_json") === true,
    ...(typeof text === "string" && text !== "" ? { levels: await levelsOf(text) } : {}),
  });
}

function sinkOf(target: string, { stdout, stderr, cwd }: Host): (line: string) => void {
  if (target === "stdout") return (line) => void stdout.write(line);
  if (target === "stderr") return (line) => void stderr.write(line);
  return (line) => appendFileSync(resolve(cwd, target), line);
}

async function levelsOf(text: string) {
  const { parseLogLevels } = await import("../config/index.ts");
  try {
    return parseLogLevels(text);
  } catch (error) {
    throw new AgentError("USAGE", `Cannot use --log_output_level "${text}"`, { cause: error });
  }
}
