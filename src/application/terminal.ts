import { readFileSync } from "node:fs";
import { isatty } from "node:tty";

/**
 * How this process stands to a terminal: it has none, or its process group is the one that the keys' signals go to
 * (`foreground`), or not (`background`). Where the kernel does not tell, a terminal on stdin counts as foreground.
 */
export function terminalOf(): "none" | "foreground" | "background" {
  if (process.platform !== "linux") return isatty(0) ? "foreground" : "none";
  return parseTerminal(readFileSync("/proc/self/stat", "utf8"));
}

/** Fields 5, 7 and 8: process group, terminal, its foreground group. Source: Linux, proc_pid_stat(5). */
export function parseTerminal(stat: string): "none" | "foreground" | "background" {
  const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [, , group, , terminal, foreground] = afterName;
  if (terminal === "0") return "none";
  return group === foreground ? "foreground" : "background";
}
