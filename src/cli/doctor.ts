import { AGENT_FLAGS, AGENT_FOLDER, JSON_FLAG } from "./agent-place.ts";
import { CLUSTER_FLAGS } from "./cluster-words.ts";
import { defineCommand } from "./contract/index.ts";

export const command = defineCommand({
  name: "doctor",
  group: "look",
  summary: "Every precondition of a sidecar on this machine against a cluster, and what helps where one is missing",
  description: [
    "Looks at every precondition of a sidecar on this machine against a cluster, and says what helps where one is missing.",
    "It reads the variables that the sidecar would be started with. Without a cluster it looks at this machine alone. It changes nothing.",
  ],
  arguments: [AGENT_FOLDER],
  flags: [
    ...AGENT_FLAGS,
    { name: "revision", type: "string", default: undefined, help: "Which istiod, as with connect", value: "NAME" },
    { name: "local", type: "bool", default: false, help: "Leave the cluster alone" },
    ...CLUSTER_FLAGS,
    JSON_FLAG,
  ],
  sections: async () => [
    {
      title: "Findings",
      rows: [
        ["ok", "As it has to be"],
        ["warning", "It works without, or for some commands only"],
        ["failed", "It does not work like that"],
        ["skipped", "It cannot be known, for the reason given"],
      ],
    },
    { title: "Exit codes", text: "0 nothing failed; 1 something did; 2 the command line or the configuration." },
  ],
  examples: ["pilotboat doctor", "pilotboat doctor ~/cart --context kind-dev -o json", "pilotboat doctor --local"],
  similar: ["check", "diagnose", "analyze", "verify"],
  async run({ flags, words: [folder] }, host) {
    const { diagnose } = await import("./doctor-run.ts");
    return diagnose(flags, folder, host);
  },
});
