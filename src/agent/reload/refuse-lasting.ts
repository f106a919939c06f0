import { isDeepStrictEqual } from "node:util";
import { AgentError } from "../../base/index.ts";
import { type AgentConfig, CATALOGUE } from "../../config/index.ts";

/** What keeps on with what it made of the configuration that it was started with. */
export interface Lasting {
  lasting?(config: AgentConfig): Readonly<Record<string, unknown>>;
}

/**
 * Compares what the parts make of both configurations, and refuses a difference by the names that people know: those that
 * would make one by themselves. Throws CONFIG_INVALID.
 */
export function refuseLasting(before: AgentConfig, after: AgentConfig, parts: readonly Lasting[]): void {
  const derive = (config: AgentConfig): unknown => parts.map((part) => part.lasting?.(config));
  const known = derive(before);
  const isOther = (config: AgentConfig): boolean => !isDeepStrictEqual(derive(config), known);
  if (!isOther(after)) return;
  const names = changes(before, after).filter(({ alone }) => isOther(alone));
  const what = [...new Set(names.map(({ name }) => name))].join(", ") || "what changed together";
  throw new AgentError("CONFIG_INVALID", `Cannot change ${what} while the agent runs`, { hint: "Restart the agent" });
}

interface Change {
  readonly name: string;
  /** The configuration before, with this change alone. */
  readonly alone: AgentConfig;
}

/** All differences, each by itself and under the name that it is set by. */
function changes(before: AgentConfig, after: AgentConfig): Change[] {
  const { proxy, settings, flags } = after;
  const alone = (name: string, changed: Partial<AgentConfig>): Change => ({ name, alone: { ...before, ...changed } });
  const others = differing(before, after).filter((key) => !IN_PIECES.includes(key as keyof AgentConfig));
  return [
    ...differing(before.proxy, proxy)
      .filter((key) => key !== "proxyMetadata")
      .map((key) => alone(key, { proxy: take(before.proxy, proxy, key) })),
    ...differing(before.proxy.proxyMetadata, proxy.proxyMetadata).map((key) => {
      const proxyMetadata = take(before.proxy.proxyMetadata, proxy.proxyMetadata, key);
      return alone(`proxyMetadata.${key}`, { proxy: { ...before.proxy, proxyMetadata } });
    }),
    ...differing(before.settings, settings).map((key) =>
      alone(CATALOGUE[key as keyof typeof CATALOGUE].env, { settings: take(before.settings, settings, key) }),
    ),
    ...differing(before.flags, flags).map((key) => alone(`--${key}`, { flags: take(before.flags, flags, key) })),
    ...differing(record(before.origins), record(after.origins)).map((key) =>
      alone(key, { origins: new Map(Object.entries(take(record(before.origins), record(after.origins), key))) }),
    ),
    ...others.map((key) => alone(key, take(before, after, key))),
  ];
}

/** Compared entry by entry, or, as the layers, only of interest to people. */
const IN_PIECES: readonly (keyof AgentConfig)[] = ["proxy", "settings", "flags", "origins", "layers"];

function record<T>(map: ReadonlyMap<string, T>): Readonly<Record<string, T>> {
  return Object.fromEntries(map);
}

function differing(before: object, after: object): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].filter((key) => !isDeepStrictEqual(before[key as never], after[key as never]));
}

/** `before` with one entry of `after`, or without it. */
function take<T extends object>(before: T, after: T, key: string): T {
  const { [key as keyof T]: _, ...rest } = before;
  return (key in after ? { ...rest, [key]: after[key as keyof T] } : rest) as T;
}
