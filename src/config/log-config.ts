import { resolve } from "node:path";
import type { LogLevel } from "../base/index.ts";
import { type ProxyFlags, readProxyFlags } from "./flags.ts";
import type { Problem } from "./problem.ts";

/** How to log; the shapes are those that `createLogger` takes. */
export interface LogConfig {
  readonly asJson: boolean;
  readonly targets: readonly string[];
  readonly levels: ReadonlyMap<string, LogLevel>;
  readonly callers: ReadonlySet<string>;
  readonly stackLevels: ReadonlyMap<string, LogLevel>;
}

/** Istio's scopes: `all` means these. */
export const SCOPES: readonly string[] = (
  "ads ca cache citadelclient default dns gcecred grpc healthcheck klog mockcred monitoring probes sds security " +
  "spiffe validation wasm xdsproxy"
).split(" ");
const LEVELS: readonly string[] = ["none", "fatal", "error", "warn", "info", "debug"];

/** Where to log, and from which folder its files count. */
export interface LogPlace {
  readonly log: LogConfig;
  readonly cwd: string;
}

/** What the flags alone say of the log, so that a configuration that is refused has one, too. */
export function logPlaceOf(args: readonly string[], startedIn: string): LogPlace {
  const { flags } = readProxyFlags(args);
  return { log: readLogConfig(flags, []), cwd: resolve(startedIn, flags["run-folder"]) };
}

/** Reads the logging flags; items apply left to right, after the built-in `default:info,grpc:none`. */
export function readLogConfig(flags: ProxyFlags, problems: Problem[]): LogConfig {
  const levels = new Map<string, LogLevel>([["grpc", "none"]]);
  if (flags.log_output_level !== "") applyLevels(levels, flags.log_output_level, "log_output_level", problems);
  if (flags.vklog !== 0) levels.set("klog", "debug");
  const stackLevels = new Map<string, LogLevel>();
  applyLevels(stackLevels, flags.log_stacktrace_level, "log_stacktrace_level", problems);
  return {
    asJson: flags.log_as_json,
    targets: flags.log_target,
    levels,
    callers: new Set(flags.log_caller === "" ? [] : flags.log_caller.split(",")),
    stackLevels,
  };
}

/** Reads `debug` or `xdsproxy:debug,sds:warn`, as --log_output_level does. Throws an Error that names all that is wrong. */
export function parseLogLevels(text: string): ReadonlyMap<string, LogLevel> {
  const [levels, problems] = [new Map<string, LogLevel>(), [] as Problem[]];
  applyLevels(levels, text, "log_output_level", problems);
  if (problems.length === 0) return levels;
  throw new Error(`${problems.map(({ message }) => message).join("; ")}; levels: ${LEVELS.join(", ")}`);
}

function applyLevels(levels: Map<string, LogLevel>, text: string, flag: string, problems: Problem[]): void {
  const refuse = (message: string): void => {
    problems.push({
      name: `--${flag}`,
      origin: { source: `--${flag}` },
      message,
      hint: `Levels: ${LEVELS.join(", ")}`,
    });
  };
  for (const item of text.split(",")) {
    const parts = item.split(":");
    if (parts.length > 2) {
      refuse(`invalid output level format '${item}'`);
      continue;
    }
    const [scope, level] = parts.length === 2 ? parts : ["default", parts[0]];
    if (level === undefined || !LEVELS.includes(level)) refuse(`invalid output level '${level ?? ""}'`);
    else for (const one of scope === "all" ? SCOPES : [scope ?? "default"]) levels.set(one, level as LogLevel);
  }
}
