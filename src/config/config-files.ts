import { resolve } from "node:path";
import { describeError, isAbsent, readTextFile } from "../base/index.ts";
import { PATHS, parseDownwardApi } from "../istio/index.ts";
import type { Source } from "./document.ts";
import type { Problem } from "./problem.ts";
import type { Environment } from "./read-settings.ts";
import { readYamlText } from "./read-text.ts";
import { substitute } from "./substitute.ts";

interface MeshPlace {
  readonly cwd: string;
  readonly path: string;
  /** By --meshConfig: that it is not there is worth a warning then. */
  readonly isNamed: boolean;
}

/** The mesh file; undefined when it is absent, empty or not named. Any other failure is a problem. */
export async function readMesh(
  { cwd, path, isNamed }: MeshPlace,
  problems: Problem[],
  warnings: Problem[],
): Promise<Source | undefined> {
  if (path === "") return undefined; // otherwise it would be the working directory
  try {
    const text = await readYamlText(resolve(cwd, path));
    return text === "" ? undefined : { text, source: path };
  } catch (error) {
    const name = "--meshConfig";
    const message = `there is no file "${path}", so there is no mesh configuration`;
    if (!isAbsent(error)) problems.push(unreadable(name, path, error));
    else if (isNamed) warnings.push({ name, origin: { source: name }, message });
    return undefined;
  }
}

interface EnvironmentOverlay {
  readonly cwd: string;
  readonly env: Environment;
  /** Value of --proxy-config; empty for the variable. */
  readonly file: string;
}

/** PROXY_CONFIG, or the file given in its place, whose `$NAME` and `${NAME}` are replaced by variables. */
export async function readEnvironmentOverlay(
  { cwd, env, file }: EnvironmentOverlay,
  problems: Problem[],
): Promise<Source | undefined> {
  if (file === "") {
    const text = env.PROXY_CONFIG ?? "";
    return text === "" ? undefined : { text, source: "PROXY_CONFIG" };
  }
  try {
    const text = substitute(await readYamlText(resolve(cwd, file)), env);
    return text === "" ? undefined : { text, source: file };
  } catch (error) {
    problems.push(unreadable("--proxy-config", file, error));
    return undefined;
  }
}

/** The pod's annotations; a file that cannot be read or parsed is a warning and counts as empty. */
export async function readAnnotations(cwd: string, warnings: Problem[]): Promise<ReadonlyMap<string, string>> {
  try {
    const parsed = parseDownwardApi(await readTextFile(resolve(cwd, PATHS.podAnnotations)));
    if (typeof parsed !== "string") return parsed;
    warnings.push({ name: "pod annotations", origin: { source: PATHS.podAnnotations }, message: parsed });
  } catch (error) {
    if (!isAbsent(error)) warnings.push(unreadable("pod annotations", PATHS.podAnnotations, error));
  }
  return new Map();
}

function unreadable(name: string, path: string, error: unknown): Problem {
  return { name, origin: { source: path }, message: `cannot read "${path}": ${describeError(error)}` };
}
