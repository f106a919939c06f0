import { AgentError, escapeLine, parseGoDuration, toMs } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { isNamespaceName, KUBERNETES_NAME } from "../istio/index.ts";
import type { Cluster } from "../kubernetes/index.ts";
import type { FlagValues } from "./contract/index.ts";
import { askLine } from "./terminal/index.ts";

/** The flags by which people name a cluster, as with kubectl. */
export const CLUSTER_FLAGS = [
  {
    name: "context",
    type: "string",
    default: undefined,
    help: "Context of the kubeconfig; default: the current one",
    value: "NAME",
  },
  {
    name: "kubeconfig",
    type: "string",
    default: undefined,
    help: "The kubeconfig; default: KUBECONFIG, else ~/.kube/config",
    value: "FILE",
  },
  { name: "istio-namespace", type: "string", default: "istio-system", help: "Where istiod runs", value: "NAME" },
  {
    name: "request-timeout",
    type: "string",
    default: "30s",
    help: "Time limit of one answer of the API server",
    value: "TIME",
  },
] as const;

/** Of commands that ask before they touch what looks like production. */
export const YES_FLAG = {
  name: "yes",
  type: "bool",
  default: false,
  help: "Do not ask when the context looks like production",
} as const;

export type ClusterWords = FlagValues<typeof CLUSTER_FLAGS>;

/** Rejects with USAGE, KUBECONFIG_INVALID or KUBECONFIG_MISSING. Nothing is sent yet. */
export async function openNamedCluster(words: ClusterWords, host: Host): Promise<Cluster> {
  const { context, kubeconfig } = words;
  checkNamespace("--istio-namespace", words["istio-namespace"]);
  const requestLimitMs = parseDuration("--request-timeout", words["request-timeout"]);
  const { openCluster } = await import("../kubernetes/index.ts");
  return openCluster({ context, kubeconfig, host, requestLimitMs });
}

/**
 * Asks before `action` (an infinitive: `clone pod "web"`) when the cluster looks like production. Rejects with NOT_CONFIRMED
 * for every answer but yes, and for none, as when standard input is closed; or with the stop signal's reason.
 */
export async function confirmCluster(
  { context, server }: Pick<Cluster, "context" | "server">,
  action: string,
  { yes }: { readonly yes: boolean },
  host: Host,
): Promise<void> {
  if (yes || !looksLikeProduction(context, server)) return;
  const question = escapeLine(`Context "${context}" (${server}) looks like production. Really ${action}? [y/N] `);
  const answer = await askLine(question, host, host.signals.stop);
  if (answer !== undefined && /^y(es)?$/i.test(answer.trim())) return;
  const found = answer === undefined ? "there was no answer" : "the answer was not yes";
  throw new AgentError("NOT_CONFIRMED", `Did not ${action}: context "${context}" looks like production, and ${found}`, {
    hint: "Add --yes, or name another context with --context",
  });
}

/** `prod`, `prd2`, `production`, `live` as a word of the context's name or of the API server's host; `non-prod` and `preprod` are none. */
function looksLikeProduction(context: string, server: string): boolean {
  return [context, hostOf(server)].some((name) => {
    const words = name
      .replaceAll(/([a-z\d])([A-Z])/g, "$1-$2")
      .toLowerCase()
      .split(/[^a-z\d]+/);
    return words.some((word, at) => PRODUCTION.test(word) && !NOT_YET.has(words[at - 1] ?? ""));
  });
}

const PRODUCTION = /^(prod|prd|production|live)\d*$/;
const NOT_YET = new Set(["non", "not", "no", "pre"]);

function hostOf(server: string): string {
  return URL.canParse(server) ? new URL(server).hostname : "";
}

/** Throws USAGE. */
export function checkNamespace(flag: string, name: string): void {
  if (!isNamespaceName(name)) throw new AgentError("USAGE", `Cannot use ${flag} "${name}", wanted ${KUBERNETES_NAME}`);
}

/** Milliseconds of Go's duration text, at least a second. Throws USAGE. */
export function parseDuration(flag: string, text: string): number {
  const ns = parseGoDuration(text);
  if (ns === undefined || ns < 1_000_000_000n) {
    throw new AgentError("USAGE", `Cannot use ${flag} "${text}", wanted a time of at least 1s such as 30s or 12h`);
  }
  return toMs(ns);
}
