import { AgentError, describeError, type Logger } from "../base/index.ts";
import type { Capture, Family } from "./capture.ts";
import { isCut, type Programs, refusal } from "./programs.ts";

/** Words of `ip`: what is added, and how it is removed. */
export interface RouteStep {
  readonly add: readonly string[];
  readonly remove: readonly string[];
  /** How to see that it is there, for what `ip` would add once more. */
  readonly seen?: { readonly list: readonly string[]; readonly as: RegExp };
}

/** What rules alone cannot do: an address for Envoy's calls over IPv6, and the way of marked packets to `lo` (TPROXY). */
export function routeSteps(capture: Capture, table: string): RouteStep[] {
  const { families, isTproxy, inboundPorts, tproxyMark } = capture;
  const step = (family: Family, object: string, words: readonly string[]): RouteStep => {
    const of = family === "IPv4" ? "-4" : "-6";
    return { add: [of, object, "add", ...words], remove: [of, object, "del", ...words] };
  };
  const mark = `0x${Number(tproxyMark).toString(16)}`;
  const as = new RegExp(`fwmark ${mark}(?:/0xffffffff)? lookup ${table}\\s*$`, "m");
  const rule = (family: Family): RouteStep => {
    const list = [family === "IPv4" ? "-4" : "-6", "rule"];
    return { ...step(family, "rule", ["fwmark", tproxyMark, "lookup", table]), seen: { list, as } };
  };
  const isRouted = isTproxy && inboundPorts !== undefined;
  return [
    ...(families.includes("IPv6") ? [step("IPv6", "address", ["::6/128", "dev", "lo"])] : []),
    ...(isRouted ? families.map(rule) : []),
    ...(isRouted ? families : []).map((family) =>
      step(family, "route", ["local", "default", "dev", "lo", "table", table]),
    ),
  ];
}

/** Rejects with PROGRAM_NOT_FOUND where a step needs `ip`, and there is none: before anything is changed. */
export async function checkIp(steps: readonly RouteStep[], programs: Programs): Promise<void> {
  if (steps.length === 0) return;
  await programs.run("ip", ["-V"]).catch((error: unknown) => {
    if (!(error instanceof AgentError) || error.code !== "PROGRAM_NOT_FOUND") throw error;
    throw new AgentError("PROGRAM_NOT_FOUND", `Cannot set addresses and routes: the program "ip" is missing`, {
      cause: error,
      hint: 'Install the package "iproute2" of the system.',
    });
  });
}

/**
 * Resolves with what it has added; what is there already is fine. Rejects with REDIRECT_FAILED or STOPPED, with nothing left
 * of what it added.
 */
export async function addRoutes(
  steps: readonly RouteStep[],
  programs: Programs,
  log: Logger,
): Promise<readonly RouteStep[]> {
  const added: RouteStep[] = [];
  try {
    for (const step of steps) {
      if (await isThere(step, programs)) continue;
      added.push(step); // a stop may come when it is done
      const ran = await programs.run("ip", step.add);
      if (ran.code !== 0) added.pop();
      if (ran.code !== 0 && !/File exists|already assigned/i.test(ran.stderr)) {
        throw refusal("failed to configure routes", `ip ${step.add.join(" ")}`, ran);
      }
      if (step.add.includes("::6/128")) log.info("Added ::6 address on the loopback iface");
    }
  } catch (error) {
    await removeRoutes(added, programs.cleaning()).catch((left: unknown) =>
      log.error(`Cannot remove all routes of this run, --cleanup-only does: ${describeError(left)}`),
    );
    throw error;
  }
  return added;
}

async function isThere({ seen }: RouteStep, programs: Programs): Promise<boolean> {
  if (seen === undefined) return false;
  const { stdout } = await programs.run("ip", seen.list);
  return seen.as.test(stdout.toString("utf8"));
}

/**
 * Removes what runs of any settings have added: the address, and each rule for one of these marks whose table has nothing but
 * the way to `lo`. Without `ip` it does nothing: then no run of ours has added any. Rejects with STOPPED or TIMEOUT.
 */
export async function removeAllRoutes(marks: ReadonlySet<number>, programs: Programs, log: Logger): Promise<void> {
  try {
    await programs.run("ip", ["-6", "address", "del", "::6/128", "dev", "lo"]);
  } catch (error) {
    if (isCut(error)) throw error;
    log.debug(`Cannot look for routes of an earlier run: ${describeError(error)}`);
    return;
  }
  for (const family of ["-4", "-6"]) {
    const rules = (await programs.run("ip", [family, "rule"])).stdout.toString("utf8");
    for (const [, mark = "", table = ""] of rules.matchAll(
      / fwmark (0x[0-9a-f]+)(?:\/0xffffffff)? lookup (\S+)\s*$/gm,
    )) {
      if (!marks.has(Number(mark))) continue;
      const routes = (await programs.run("ip", [family, "route", "show", "table", table])).stdout.toString("utf8");
      if (/^(?!local default dev lo\b)./m.test(routes)) continue;
      await programs.run("ip", [family, "route", "del", "local", "default", "dev", "lo", "table", table]);
      await programs.run("ip", [family, "rule", "del", "fwmark", mark, "lookup", table]); // last: it names the table
    }
  }
}

/** What is not there is fine, too. */
export async function removeRoutes(steps: readonly RouteStep[], programs: Programs): Promise<void> {
  for (const { remove } of steps.toReversed()) await programs.run("ip", remove);
}
