import { readFile, stat } from "node:fs/promises";
import { AgentError, describeError, Secret, systemCode } from "../../base/index.ts";

/**
 * Reads a token file now, without surrounding white space; undefined when it holds nothing else.
 * Rejects with TOKEN_UNREADABLE, whose message tells a missing file from one that this user may not read.
 */
export async function readTokenFile(path: string): Promise<Secret | undefined> {
  try {
    const text = (await readFile(path, "utf8")).trim();
    return text === "" ? undefined : new Secret(text);
  } catch (error) {
    throw new AgentError("TOKEN_UNREADABLE", `Cannot read the token "${path}": ${await explain(path, error)}`, {
      hint: "Check that the token volume is mounted and readable for the user the agent runs as",
    });
  }
}

async function explain(path: string, error: unknown): Promise<string> {
  const code = systemCode(error);
  if (code === "ENOENT") return "the file does not exist";
  if (code !== "EACCES" && code !== "EPERM") return describeError(error);
  const us = `permission denied for uid ${process.geteuid?.() ?? "?"} gid ${process.getegid?.() ?? "?"}`;
  const found = await stat(path).catch(() => undefined); // the folder itself may be closed to us
  if (found === undefined) return `${us}, its folder cannot be entered`;
  return `${us}, the file belongs to uid ${found.uid} gid ${found.gid} with mode ${(found.mode & 0o777).toString(8).padStart(4, "0")}`;
}
