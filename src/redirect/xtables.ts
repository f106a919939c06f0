import { constants } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { AgentError, describeError, type Logger } from "../base/index.ts";
import type { Family } from "./capture.ts";
import type { Call } from "./iptables-texts.ts";
import { isCut, type Programs, refusal } from "./programs.ts";

/** The programs of iptables, for both families. */
export interface Xtables {
  /** Families whose program can be used. */
  readonly families: readonly Family[];
  /** What iptables-restore is called there. */
  restoreName(family: Family): string;
  /** What iptables-save prints; undefined when it fails. Rejects with STOPPED or TIMEOUT. */
  save(family: Family): Promise<string | undefined>;
  /** Rejects with REDIRECT_FAILED, in the program's words. */
  call(family: Family, words: Call): Promise<void>;
  /** Applies a whole text, without removing what is there. Rejects with REDIRECT_FAILED. */
  restore(family: Family, text: string): Promise<void>;
  /** The same for cleaning up, which a stop does not end. */
  cleaning(): Xtables;
  /** A call, for a shell. */
  commandLine(family: Family, words: Call): string;
}

/** A variant of iptables that is there and works. */
export interface XtablesVariant {
  /** Such as `iptables-nft`. */
  readonly name: string;
  readonly version: readonly number[];
  readonly isLegacy: boolean;
}

/** By the family whose program it is. */
export type Variants = Readonly<Partial<Record<Family, XtablesVariant>>>;

const SAVE = "-save";
const RESTORE = "-restore";

/** Programs that are called for each step. */
export function realXtables(variants: Variants, programs: Programs, log: Logger): Xtables {
  const families = (["IPv4", "IPv6"] as const).filter((family) => variants[family] !== undefined);
  const nameOf = (family: Family, end = ""): string => `${variants[family]?.name ?? ""}${end}`;
  const write = async (family: Family, end: string, words: Call, text?: string): Promise<void> => {
    const name = nameOf(family, end);
    const args = [...words, ...waitFor(variants[family])];
    log.debug(`Running command: ${name} ${args.join(" ")}`);
    const ran = await programs.run(name, args, text);
    if (ran.code !== 0) throw refusal(`Cannot change the rules for ${family}`, name, ran);
  };
  return {
    families,
    restoreName: (family) => nameOf(family, RESTORE),
    async save(family) {
      const ran = await programs.run(nameOf(family, SAVE), []).catch((error: unknown) => {
        if (isCut(error)) throw error;
        log.debug(`Cannot save the rules: ${describeError(error)}`);
        return undefined;
      });
      return ran?.code === 0 ? ran.stdout.toString("utf8") : undefined;
    },
    call: (family, words) => write(family, "", words),
    restore: (family, text) => write(family, RESTORE, ["--noflush"], text),
    cleaning: () => realXtables(variants, programs.cleaning(), log),
    commandLine: (family, words) => programs.commandLine(nameOf(family), words),
  };
}

/** Since 1.6.2 the older variant waits for its lock; the one on nftables has none. */
function waitFor(variant: XtablesVariant | undefined): Call {
  return variant !== undefined && needsLock(variant) ? ["--wait=30"] : [];
}

export function needsLock({ isLegacy, version }: Pick<XtablesVariant, "isLegacy" | "version">): boolean {
  return isLegacy && isAtLeast(version, [1, 6, 2]);
}

function isAtLeast(version: readonly number[], wanted: readonly number[]): boolean {
  const at = wanted.findIndex((part, place) => part !== (version[place] ?? 0));
  return at < 0 || (version[at] ?? 0) > (wanted[at] ?? 0);
}

/** Calls no program, and notes what would be called: one line for a call, and the lines of a text. */
export function dryXtables(): Xtables & { readonly lines: readonly string[] } {
  const lines: string[] = [];
  const nameOf = (family: Family, end = ""): string => `${family === "IPv4" ? "iptables" : "ip6tables"}${end}`;
  const commandLine = (family: Family, words: Call): string => [nameOf(family), ...words].join(" ");
  const dry: ReturnType<typeof dryXtables> = {
    lines,
    families: ["IPv4", "IPv6"],
    restoreName: (family) => nameOf(family, RESTORE),
    async save(family) {
      lines.push(nameOf(family, SAVE));
      return "";
    },
    async call(family, words) {
      lines.push(commandLine(family, words));
    },
    async restore(_, text) {
      lines.push(...text.split("\n").slice(0, -1));
    },
    cleaning: () => dry,
    commandLine,
  };
  return dry;
}

/**
 * Writes the lines of a dry run into what the path means: a link leads on, a device or pipe gets them. It makes no folder.
 * Rejects with FILE_UNWRITABLE.
 */
export async function writeDryRun(path: string, lines: readonly string[]): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants;
  try {
    await using _ = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0o644); // refuses a FIFO without a reader
    await writeFile(path, lines.map((line) => `${line}\n`).join(""));
  } catch (error) {
    throw new AgentError("FILE_UNWRITABLE", `Cannot write the dry run to "${path}": ${describeError(error)}`, {
      cause: error,
    });
  }
}
