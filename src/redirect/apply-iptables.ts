import { describeError, type Logger } from "../base/index.ts";
import type { Capture, Family, RedirectSettings } from "./capture.ts";
import { removeGuardrails, setGuardrails } from "./guardrails.ts";
import { iptablesRules, type Rule } from "./iptables-rules.ts";
import {
  type Call,
  checkCalls,
  cleanupCalls,
  GUARDRAILS_OFF,
  hasGuardrails,
  hasSameShape,
  isEmptyState,
  readSavedState,
  restoreText,
} from "./iptables-texts.ts";
import { leftoverCalls } from "./leftovers.ts";
import { isCut } from "./programs.ts";
import type { Xtables } from "./xtables.ts";

type Choices = Pick<RedirectSettings, "reconcile" | "cleanupOnly" | "forceApply">;

/** Removes what a failed step later in the run would leave behind; does nothing where rules were there before. */
export type Undo = () => Promise<void>;

/**
 * Brings the rules of iptables to what `capture` says, or removes them. Does nothing where they are there already. Rejects
 * with REDIRECT_FAILED; where there were no rules before, there are none then.
 */
export async function applyIptables(capture: Capture, choices: Choices, xtables: Xtables, log: Logger): Promise<Undo> {
  const run = new Run(capture, xtables, log);
  try {
    return await run.apply(choices);
  } finally {
    await run.showState();
  }
}

/** Removes what is ours in a variant of iptables that is not the chosen one. Rejects with STOPPED or TIMEOUT. */
export async function cleanUpIptables(capture: Capture, xtables: Xtables, log: Logger): Promise<void> {
  const run = new Run({ ...capture, families: xtables.families }, xtables, log);
  await run.cleanUp(true);
  await run.removeGuardrails();
}

interface Found {
  /** There are rules in the tables that count, whoever made them. */
  readonly hasResidue: boolean;
  readonly isDifferent: boolean;
}

class Run {
  readonly #capture: Capture;
  readonly #xtables: Xtables;
  readonly #log: Logger;

  constructor(capture: Capture, xtables: Xtables, log: Logger) {
    this.#capture = capture;
    this.#xtables = xtables;
    this.#log = log;
  }

  async apply({ reconcile, cleanupOnly, forceApply }: Choices): Promise<Undo> {
    const log = this.#log;
    const { hasResidue, isDifferent } = await this.#compare();
    if (hasResidue && isDifferent && !reconcile) {
      log.info(
        "reconcile is recommended but no-reconcile flag is set. Unexpected behavior may occur due to preexisting iptables rules",
      );
    }
    if (cleanupOnly) {
      await this.cleanUp(hasResidue);
      if (hasResidue) await this.removeGuardrails();
      return nothing;
    }
    if (!isDifferent && !forceApply) return nothing;
    const apply = (): Promise<void> => this.#restore();
    if (hasResidue && isDifferent && reconcile) await this.#replace();
    else if (hasResidue) await apply();
    else await apply().catch((error: unknown) => this.#undo().then(() => Promise.reject(error)));
    return hasResidue ? nothing : () => this.#undo();
  }

  /** Source: istio/istio tools/istio-iptables/pkg/capture VerifyIptablesState. */
  async #compare(): Promise<Found> {
    let [hasResidue, isDifferent] = [false, false];
    for (const family of this.#xtables.families) {
      const rules = this.#rulesOf(family);
      const found = await this.#compareFamily(family, rules);
      isDifferent ||= found.isDifferent;
      if (found.hasResidue && rules.length > 0) hasResidue = true;
      else if (found.hasResidue) this.#log.info(`Ignoring residues because no rules are planned for ${family}`);
    }
    if (!hasResidue) {
      this.#log.info("Clean-state detected, new iptables are needed");
      return { hasResidue, isDifferent: true };
    }
    const judgement = isDifferent
      ? "Found residues of old iptables rules/chains, reconciliation is recommended"
      : "Found compatible residues of old iptables rules/chains, reconciliation not needed";
    this.#log.info(judgement);
    return { hasResidue, isDifferent };
  }

  async #compareFamily(family: Family, rules: readonly Rule[]): Promise<Found> {
    const saved = await this.#xtables.save(family);
    if (saved === undefined) {
      this.#log.warn(`[${family}] iptables-save failed. Assuming clean state.`);
      return { hasResidue: false, isDifferent: rules.length > 0 };
    }
    const found = readSavedState(saved);
    if (isEmptyState(found)) return { hasResidue: false, isDifferent: rules.length > 0 };
    if (!hasSameShape(readSavedState(restoreText(rules)), found)) return { hasResidue: true, isDifferent: true };
    for (const call of checkCalls(rules)) {
      const isThere = await this.#try(family, call);
      if (!isThere) return { hasResidue: true, isDifferent: true };
    }
    return { hasResidue: true, isDifferent: false };
  }

  async #restore(): Promise<void> {
    this.#log.info("Applying iptables chains and rules");
    for (const family of this.#capture.families) {
      const text = restoreText(this.#rulesOf(family));
      const name = this.#xtables.restoreName(family);
      this.#log.info(`Running iptables restore with: ${name} and the following input:\n${text.trim()}`);
      await this.#xtables.restore(family, text);
    }
  }

  /** No traffic passes meanwhile. Where it fails, nothing is left. */
  async #replace(): Promise<void> {
    const replace = (): Promise<void> => this.cleanUp(true).then(() => this.#restore());
    await this.#guarded(() => replace().catch((error: unknown) => this.#undo(true).then(() => Promise.reject(error))));
  }

  /** Calls that fail have nothing to remove. What is found afterwards of other settings is removed as well. */
  async cleanUp(hasResidue: boolean, xtables = this.#xtables): Promise<void> {
    this.#log.info("Performing cleanup of existing iptables");
    await this.#removeAll(hasResidue, xtables);
  }

  async #removeAll(hasResidue: boolean, xtables: Xtables): Promise<void> {
    for (const family of this.#capture.families) {
      for (const call of cleanupCalls(this.#rulesOf(family))) await this.#try(family, call, xtables);
      const saved = hasResidue ? await xtables.save(family) : undefined;
      for (const call of leftoverCalls(saved ?? "")) await this.#try(family, call, xtables);
    }
  }

  /** Those of a run that was killed. */
  async removeGuardrails(): Promise<void> {
    for (const family of this.#capture.families) {
      if (!hasGuardrails((await this.#xtables.save(family)) ?? "")) continue;
      for (const call of GUARDRAILS_OFF) await this.#try(family, call);
    }
  }

  /** After a failure, whose error is what the caller throws; a stop does not end it. */
  async #undo(hasResidue = false): Promise<void> {
    await this.#removeAll(hasResidue, this.#xtables.cleaning()).catch((error: unknown) =>
      this.#log.error(`Cannot remove all rules of this run, --cleanup-only does: ${describeError(error)}`),
    );
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    this.#log.info("Setting up guardrails");
    try {
      await setGuardrails(this.#capture.families, this.#xtables, (family, call) => this.#try(family, call));
      await work();
    } catch (error) {
      this.#log.info("Removing guardrails");
      await removeGuardrails(this.#capture.families, this.#xtables, error);
      throw error;
    }
    this.#log.info("Removing guardrails");
    await removeGuardrails(this.#capture.families, this.#xtables);
  }

  /** A look that fails changes nothing of what was done. */
  async showState(): Promise<void> {
    for (const family of this.#capture.families) {
      const state = await this.#xtables.save(family).catch(() => undefined);
      if (state !== undefined) this.#log.info(`Final iptables state (${family}):\n${state}`);
    }
  }

  #rulesOf(family: Family): Rule[] {
    return this.#capture.families.includes(family) ? iptablesRules(this.#capture, family) : [];
  }

  /** False where the program refuses; rejects where it was cut. */
  async #try(family: Family, call: Call, xtables = this.#xtables): Promise<boolean> {
    return await xtables.call(family, call).then(
      () => true,
      (error: unknown) => {
        if (isCut(error)) throw error;
        this.#log.debug(`Ignoring iptables command error: ${describeError(error)}`);
        return false;
      },
    );
  }
}

const nothing: Undo = async () => undefined;
