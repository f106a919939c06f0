import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Json, Observation } from "../observation.ts";
import type { Ended } from "./lane.ts";
import { classOf } from "./messages.ts";

export interface Places {
  /** Where the program ran. */
  readonly root: string;
  /** What the program in Envoy's place has noted. */
  readonly record: string;
  /** The files of the root that it was given, by their path there. */
  readonly given: ReadonlySet<string>;
}

/** What is known of a run when it is over; `{root}` stands for the folder that it ran in. */
export function observe(places: Places, ended: Ended): Observation {
  return JSON.parse(JSON.stringify(look(places, ended)).replaceAll(places.root, "{root}")) as Observation;
}

function look(places: Places, ended: Ended): Observation {
  const paths = tree(places.root);
  const left = { paths, contents: contents(places, paths) };
  if (!existsSync(join(places.record, "complete"))) return { exit: outcome(ended, "no Envoy"), "left early": left };
  const read = (name: string): string => readFileSync(join(places.record, name), "utf8");
  return {
    ...(existsSync(join(places.record, "bootstrap")) ? bootstrapOf(read("bootstrap")) : {}),
    arguments: words(read("cmdline")).slice(2), // without the shell and its script
    environment: environmentOf(read),
    files: Object.fromEntries(lines(read("files")).map(fileOf)),
    exit: outcome(ended, "Envoy started"),
    left,
  };
}

/** Such as `Envoy started, 0` and `no Envoy, 255, proxy type`. */
function outcome({ end, stderr }: Ended, envoy: string): string {
  const error = classOf(stderr);
  return [envoy, end, ...(error === undefined ? [] : [error])].join(", ");
}

function bootstrapOf(text: string): Observation {
  const document = jsonOf(text) ?? jsonOf(text.replaceAll(/,(?=\s*[\]}])/g, ""));
  if (document === undefined) return { bootstrap: text.split("\n") }; // a template of the user's makes what it likes
  const { node = null, ...rest } = document as { readonly [name: string]: Json };
  const trouble = jsonOf(text) === undefined ? { "": "commas too many" } : {};
  return { node, bootstrap: { ...rest, ...trouble } };
}

function jsonOf(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** What a process has from its parent. */
function environmentOf(read: (name: string) => string): Json {
  const status = new Map(
    read("status")
      .split("\n")
      .map((line) => line.split(/:\s*/) as [string, string]),
  );
  const inherited = ["Uid", "Gid", "Groups", "SigIgn", "NoNewPrivs", "CapEff"].map((name) => [
    name,
    status.get(name)?.trim() ?? "",
  ]);
  return {
    variables: Object.fromEntries(words(read("environ")).map(variableOf)),
    process: {
      ...Object.fromEntries(inherited),
      "working directory": read("cwd").trim(),
      umask: read("umask").trim(),
      descriptors: Object.fromEntries(lines(read("descriptors")).map(descriptorOf).filter(isOfAgent)),
    },
  };
}

function words(text: string): string[] {
  return text.split("\0").slice(0, -1);
}

function lines(text: string): string[] {
  return text.split("\n").slice(0, -1);
}

function variableOf(word: string): [string, string] {
  const at = word.indexOf("=");
  return [word.slice(0, at), word.slice(at + 1)];
}

/** A line of find's: number and target, without the number of a pipe or socket. */
function descriptorOf(line: string): [string, string] {
  const [number = "", ...target] = line.split(" ");
  return [number, target.join(" ").replace(/:\[\d+\]$/, "")];
}

/** What this process was started with goes through to Envoy in one runtime, and not in another. */
const INHERITED = new Set(readdirSync("/proc/self/fd").filter((number) => Number(number) > 2));

function isOfAgent([number]: [string, string]): boolean {
  return !INHERITED.has(number);
}

/** A line of find's: type, mode, path. */
function fileOf(line: string): [string, string] {
  const [type = "", mode = "", ...path] = line.split(" ");
  return [path.join(" "), `${type} ${mode}`];
}

function tree(root: string): Record<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(paths.map((path) => [path, kindOf(join(root, path))]));
}

function kindOf(path: string): string {
  const found = lstatSync(path);
  const mode = (found.mode & 0o7777).toString(8);
  if (found.isSymbolicLink()) return `l ${mode} ${readlinkSync(path)}`;
  if (found.isDirectory()) return `d ${mode}`;
  return found.isSocket() ? `s ${mode}` : `f ${mode}`;
}

/** Of the files that are new. */
function contents({ root, given }: Places, files: Readonly<Record<string, string>>): Record<string, Json> {
  const paths = Object.keys(files).filter((path) => files[path]?.startsWith("f ") && !given.has(path));
  return Object.fromEntries(paths.map((path) => [path, contentOf(join(root, path))]));
}

function contentOf(path: string): Json {
  const text = readFileSync(path, "utf8");
  return jsonOf(text) ?? text;
}
