import { AgentError, describeError } from "../base/index.ts";
import type { Family } from "./capture.ts";
import { type Call, GUARDRAILS, GUARDRAILS_OFF } from "./iptables-texts.ts";
import type { Xtables } from "./xtables.ts";

/**
 * Lets no traffic through while rules are replaced. `attempt` removes those of a run that was killed. Rejects with
 * REDIRECT_FAILED or STOPPED; then some of them may be there.
 */
export async function setGuardrails(
  families: readonly Family[],
  xtables: Xtables,
  attempt: (family: Family, call: Call) => Promise<unknown>,
): Promise<void> {
  for (const family of families) {
    for (const call of GUARDRAILS_OFF) await attempt(family, call);
    for (const call of GUARDRAILS) await xtables.call(family, call);
  }
}

/**
 * A stop does not end this: with a guardrail left, the namespace is cut off. Rejects with REDIRECT_FAILED and the commands
 * that remove what is left; `failure` is what went wrong before.
 */
export async function removeGuardrails(
  families: readonly Family[],
  xtables: Xtables,
  failure?: unknown,
): Promise<void> {
  const cleaning = xtables.cleaning();
  const left: string[] = [];
  let cause = failure;
  for (const family of families) {
    const failed: Call[] = [];
    for (const call of GUARDRAILS_OFF) {
      await cleaning.call(family, call).catch((error: unknown) => {
        cause = error;
        failed.push(call);
      });
    }
    const saved = failed.length === 0 ? "" : await cleaning.save(family).catch(() => undefined);
    const stays = failed.filter((call) => saved === undefined || saved.includes(`-A ${call.slice(3).join(" ")}\n`));
    left.push(...stays.map((call) => xtables.commandLine(family, call)));
  }
  if (left.length === 0) return;
  const before = failure === undefined ? "" : `; before that: ${describeError(failure)}`;
  throw new AgentError(
    "REDIRECT_FAILED",
    `Cannot remove the guardrails, so that no TCP and no UDP passes in this network namespace${before}`,
    { cause, hint: `Run as root: ${left.join("; ")}` },
  );
}
