import { AgentError, describeError, isStopped, type Logger } from "../base/index.ts";
import type { Family } from "./capture.ts";
import { hasGuardrails } from "./iptables-texts.ts";
import { leftoverCalls } from "./leftovers.ts";
import { isCut, type Programs, refusal } from "./programs.ts";
import { needsLock, type XtablesVariant } from "./xtables.ts";

const PLAIN: Readonly<Record<Family, string>> = { IPv4: "iptables", IPv6: "ip6tables" };

/**
 * The variant whose rules count here: the older one where it has rules already, else the one on nftables, else whatever
 * `iptables` is. `forced` chooses. Rejects with REDIRECT_NOT_POSSIBLE, each trial in its message. Unlike the reference it tries
 * the older one only where that has rules: a trial makes its tables, and the next run would take them for rules.
 * Source: istio/istio tools/istio-iptables/pkg/dependencies DetectIptablesVersion.
 */
export async function findXtables(
  family: Family,
  forced: string,
  programs: Programs,
  log: Logger,
): Promise<XtablesVariant> {
  const plain = PLAIN[family];
  if (forced !== "") return await tryVariant(`${plain}-${forced}`, programs, log).catch(notFound([]));
  const failures: string[] = [];
  const passOver = (name: string) => (error: unknown) => {
    if (isStopped(error)) throw error;
    log.debug(`did not find (or cannot use) iptables binary ${name}: ${describeError(error)}`);
    failures.push(describeError(error));
    return undefined;
  };
  const attempt = (name: string) => tryVariant(name, programs, log).catch(passOver(name));
  const legacy = `${plain}-legacy`;
  const isLegacyInUse = await isInUse(legacy, `${plain}-nft`, programs).catch(passOver(legacy));
  const found = (isLegacyInUse === true ? await attempt(legacy) : undefined) ?? (await attempt(`${plain}-nft`));
  return found ?? (await tryVariant(plain, programs, log).catch(notFound(failures)));
}

/** Rules of others do not count where the variant on nftables has ours. */
async function isInUse(legacy: string, nft: string, programs: Programs): Promise<boolean> {
  const saved = await savedBy(legacy, programs);
  if (OUR_CHAIN.test(saved) || !/^-A /m.test(saved)) return OUR_CHAIN.test(saved);
  return !OUR_CHAIN.test((await savedBy(nft, programs).catch(undefinedUnlessCut)) ?? "");
}

/** Variants besides the chosen one, or all where none was, that have something of an earlier run, whatever its settings. */
export async function findOthers(
  family: Family,
  chosen: XtablesVariant | undefined,
  programs: Programs,
  log: Logger,
): Promise<XtablesVariant[]> {
  const plain = PLAIN[family];
  const [nft, legacy] = [`${plain}-nft`, `${plain}-legacy`];
  const names = chosen === undefined ? [nft, legacy] : [chosen.isLegacy ? nft : legacy];
  const found: XtablesVariant[] = [];
  let isAnyHere = chosen !== undefined;
  const look = async (name: string): Promise<void> => {
    const saved = await savedBy(name, programs).catch(undefinedUnlessCut);
    isAnyHere ||= saved !== undefined;
    if (saved === undefined || !(leftoverCalls(saved).length > 0 || hasGuardrails(saved))) return;
    found.push({ name, ...(await versionOf(`${name}-save`, programs, log)) });
  };
  for (const name of names) await look(name);
  if (!isAnyHere) await look(plain); // whichever of them it is
  return found;
}

const OUR_CHAIN = /^:ISTIO_/m;

/** A variant that is missing has no rules. */
function undefinedUnlessCut(error: unknown): undefined {
  if (isCut(error)) throw error;
}

async function savedBy(name: string, programs: Programs): Promise<string> {
  const save = `${name}-save`;
  const saved = await programs.run(save, []);
  if (saved.code !== 0) throw refusal("Cannot list rules", save, saved);
  return saved.stdout.toString("utf8");
}

function notFound(failures: readonly string[]) {
  return (error: unknown): never => {
    if (isStopped(error)) throw error;
    const all = [...failures, describeError(error)];
    const isAbsent = all.every((text) => text.includes("No such file"));
    throw new AgentError("REDIRECT_NOT_POSSIBLE", `Cannot find an iptables that works:\n${all.join("\n")}`, {
      cause: error,
      hint: isAbsent
        ? 'Install the package "iptables" of the system, or use --native-nftables with the package "nftables".'
        : "The kernel must support one of them; as root, modprobe ip_tables iptable_nat or nf_tables may help.",
    });
  };
}

/** A rule that fits no packet: 255 is reserved among the protocol numbers. */
const NO_OP = ["INPUT", "-p", "255", "-j", "RETURN"];

/** Rejects where its programs are not there, or the kernel does not do what they ask. */
async function tryVariant(name: string, programs: Programs, log: Logger): Promise<XtablesVariant> {
  const save = `${name}-save`;
  const { version, isLegacy } = await versionOf(save, programs, log);
  const wait = needsLock({ version, isLegacy }) ? ["--wait=30"] : [];
  const remove = (by: Programs) => by.run(name, ["-t", "nat", "-D", ...NO_OP, ...wait]);
  try {
    const added = await programs.run(name, ["-t", "nat", "-A", ...NO_OP, ...wait]);
    if (added.code !== 0 || added.stderr.includes("does not exist")) throw refusal("Cannot add a rule", name, added);
    await remove(programs);
  } catch (error) {
    if (isCut(error)) await remove(programs.cleaning()).catch(() => undefined); // what cut it is what matters
    throw error;
  }
  return { name, version, isLegacy };
}

/** Programs before 1.6.2 know no `--version`, and are of the older kind. */
async function versionOf(
  save: string,
  programs: Programs,
  log: Logger,
): Promise<Pick<XtablesVariant, "version" | "isLegacy">> {
  const { code, stdout, stderr } = await programs.run(save, ["--version"]);
  const text = stdout.toString("utf8");
  if (code !== 0 || stderr.includes("unrecognized option")) {
    log.warn(`${save} does not know --version: it counts as a very old one`);
    return { version: [0], isLegacy: true };
  }
  const [, digits] = /v(\d+(?:\.\d+)+)/.exec(text) ?? [];
  if (digits === undefined) {
    throw new AgentError("REDIRECT_NOT_POSSIBLE", `Cannot tell the version of "${save}" from "${text.trim()}"`);
  }
  return { version: digits.split(".").map(Number), isLegacy: !text.includes("nf_tables") };
}
