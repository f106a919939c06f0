import { resolve } from "node:path";
import { describeError, goJson } from "../base/index.ts";
import { recognizeDump } from "../istio/index.ts";
import { parseDocument } from "./document.ts";
import { restWarning } from "./overlay.ts";
import type { Problem } from "./problem.ts";
import { readYamlText } from "./read-text.ts";

export interface OverrideWords {
  readonly cwd: string;
  /** `ISTIO_BOOTSTRAP_OVERRIDE`; empty for none. */
  readonly path: string;
  /** `HOST_IP`. */
  readonly hostIp: string;
}

/**
 * The overlay that Envoy lays over its bootstrap, as compact JSON with sorted keys; empty for none. A file that cannot
 * be used is a warning. Source: istio/istio pkg/envoy/proxy.go (readBootstrapToJSON).
 */
export async function readBootstrapOverride(words: OverrideWords, warnings: Problem[]): Promise<string> {
  if (words.path === "") return "";
  const name = "ISTIO_BOOTSTRAP_OVERRIDE";
  const fail = (message: string): string => {
    warnings.push({ name, origin: { source: words.path }, message: `Failed to read bootstrap override: ${message}` });
    return "";
  };
  try {
    const text = replaceHostIp(await readYamlText(resolve(words.cwd, words.path)), words.hostIp);
    const dump = recognizeDump(text);
    if (dump !== undefined) return fail(`${dump.found}. ${dump.hint(words.path)}`);
    const reading = await parseDocument({ text, source: words.path });
    const rest = reading.ok ? reading.document.rest : undefined;
    if (rest !== undefined) warnings.push(restWarning(name, rest));
    return reading.ok ? goJson(reading.document.tree ?? null) : fail(reading.message);
  } catch (error) {
    return fail(describeError(error));
  }
}

/** An IPv6 address gets brackets, but not twice where the text already has them. */
export function replaceHostIp(text: string, hostIp: string): string {
  const shown = hostIp.includes(":") ? `[${hostIp}]` : hostIp;
  const inBrackets = hostIp.includes(":") ? shown : `[${shown}]`;
  return text.replaceAll("[$(HOST_IP)]", () => inBrackets).replaceAll("$(HOST_IP)", () => shown);
}
