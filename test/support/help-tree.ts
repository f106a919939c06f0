import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What a help page names: sub-commands, and flags as `-o, --output` with their default, empty where none is shown. */
export interface HelpPage {
  readonly commands: readonly string[];
  readonly flags: Readonly<Record<string, string>>;
}

/** Of a program and all commands below it, by the words that lead to them. */
export type HelpTree = Readonly<Record<string, HelpPage>>;

/** Asks a program for its help pages, from the root down; `of` says how a page is read, `paths` which ones: all by default. */
export async function askHelpTree(
  command: readonly string[],
  read: (text: string) => HelpPage,
  paths?: readonly string[],
): Promise<HelpTree> {
  const [file = "", ...before] = command;
  const tree: Record<string, HelpPage> = {};
  const ask = async (path: string): Promise<HelpPage> => {
    const words = path === "" ? [] : path.split(" ");
    const { stdout } = await run(file, [...before, ...words, "--help"], { timeout: 60_000 });
    const page = read(stdout);
    tree[path] = page;
    return page;
  };
  if (paths !== undefined) {
    for (const path of paths) await ask(path);
    return tree;
  }
  const walk = async (path: string): Promise<void> => {
    for (const name of (await ask(path)).commands) await walk(`${path} ${name}`.trim());
  };
  await walk("");
  return tree;
}

/** A page as cobra and pflag print it. */
export function readCobraPage(text: string): HelpPage {
  const commands = section(text, "Available Commands").map((line) => line.trim().split(" ")[0] ?? "");
  const flags = ["Flags", "Global Flags"].flatMap((title) => flagsIn(section(text, title)));
  return { commands, flags: Object.fromEntries(flags) };
}

/** A page of pilotboat: lines may be wrapped, and flags of every command stand in a paragraph. */
export function readOwnPage(text: string): HelpPage {
  const lists = text.split("\n\n").map((part) => part.split("\n"));
  const isCommand = (line: string) => /^ {2}[a-z][\w-]* {2,}\S/.test(line);
  const commands = lists
    .filter(([title = ""]) => /^(commands|run|cluster|control plane|look|container|shell):$/i.test(title))
    .flatMap((lines) => lines.filter(isCommand).map((line) => line.trim().split(" ")[0] ?? ""));
  const table = flagsIn([...section(text, "Flags"), ...section(text, "flags")]);
  const everywhere = /^Flags of every command: ([\s\S]*?)\.$/m.exec(text)?.[1]?.split(/,\s/) ?? [];
  const others = everywhere.map((words): [string, string] => [words.split(" ")[0] ?? "", ""]);
  return { commands, flags: Object.fromEntries([...table, ...others]) };
}

/** The lines below `TITLE:` up to an empty one. */
function section(text: string, title: string): string[] {
  const lines = text.split("\n");
  const at = lines.indexOf(`${title}:`);
  if (at < 0) return [];
  const end = lines.indexOf("", at);
  return lines.slice(at + 1, end < 0 ? undefined : end);
}

function flagsIn(lines: readonly string[]): [string, string][] {
  const flags: { name: string; text: string }[] = [];
  for (const line of lines) {
    const [, short = "", name, rest = ""] = /^ +(-\w, )?(--[\w-]+)(.*)$/.exec(line) ?? [];
    const last = flags.at(-1);
    if (name !== undefined) flags.push({ name: `${short}${name}`, text: rest });
    else if (last !== undefined) last.text += ` ${line.trim()}`;
  }
  return flags.map(({ name, text }) => [name, (/\(default (.*?)\)$/.exec(text)?.[1] ?? "").replaceAll(/["[\]]/g, "")]);
}
