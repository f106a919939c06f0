import { access, constants, stat } from "node:fs/promises";
import { delimiter, resolve } from "node:path";
import { AgentError } from "../base/index.ts";

export interface SearchOptions {
  /** The `PATH` to search, as the application would. */
  readonly path: string | undefined;
  readonly cwd: string;
}

/**
 * The absolute path of a command, looked for as a shell does: a name with a slash is a path, any other is searched on
 * `PATH`. Rejects with APPLICATION_NOT_FOUND or APPLICATION_NOT_EXECUTABLE.
 */
export async function findExecutable(command: string, { path, cwd }: SearchOptions): Promise<string> {
  const isPath = command.includes("/");
  const folders = isPath ? [""] : (path ?? "").split(delimiter);
  let passedOver: string | undefined;
  for (const folder of folders) {
    const file = resolve(cwd, folder, command);
    const found = await whatIs(file);
    if (found === "executable") return file;
    if (found === "other") passedOver ??= file;
  }
  if (passedOver !== undefined) {
    throw new AgentError("APPLICATION_NOT_EXECUTABLE", `Cannot run "${passedOver}": it is not executable`);
  }
  const where = isPath ? "no such file" : "it is not on PATH";
  throw new AgentError("APPLICATION_NOT_FOUND", `Cannot run "${command}": ${where}`);
}

async function whatIs(file: string): Promise<"executable" | "other" | "nothing"> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return "nothing";
  if (!found.isFile()) return "other";
  return access(file, constants.X_OK).then(
    () => "executable",
    () => "other",
  );
}
