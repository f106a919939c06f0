import type { Subject } from "../subject.ts";
import type { IptablesInput } from "./input.ts";
import { iptablesInputs } from "./inputs.ts";
import { openLane } from "./lane.ts";
import { REASONS } from "./reasons.ts";

/** `pilot-agent istio-iptables`: dry runs, and runs on a kernel by iptables and nft. */
export function iptablesSubject(): Subject<IptablesInput> {
  return {
    title: "pilot-agent istio-iptables",
    about: [
      "`npm run parity -- iptables` gives the same flags and variables to `pilot-agent istio-iptables` and to `pilotboat",
      "istio-iptables`, each in a network namespace of its own: dry runs, and one call after another with the programs of",
      "iptables and nft, after which the kernel's rules, routes and addresses are compared.",
    ],
    areas: {
      rules: "input of iptables-restore for each family, transaction of nft: every line, in order",
      "dry run": "the file of DRY_RUN_FILE_PATH: every call and every line",
      log: "all that is printed, without the times",
      kernel: "what iptables-save, nft and ip show afterwards",
      exit: "exit codes, and what an error is about",
    },
    reasons: REASONS,
    usualCount: 160,
    inputs: iptablesInputs,
    openLane,
  };
}
