import type { Host } from "../../host/index.ts";
import { nameTable, type Row, stdoutOf, strong, type Text, wrap } from "../terminal/index.ts";
import type { FlagSpec } from "./command-line.ts";
import { type Command, GROUPS, type Section } from "./define-command.ts";
import { asCalled, namedAs, PROGRAM } from "./program-name.ts";
import { HELP_FLAG, HELP_SUMMARY, inheritedFlags, type Place, ROOT_FLAGS } from "./read-words.ts";

/** Columns of a page where the width is unknown, and at most. */
const PAGE_WIDTH = 100;

/** Prints the help page of a command, as wide as the terminal is. */
export async function printHelp(place: Place, host: Host): Promise<void> {
  const terminal = stdoutOf(host);
  terminal.print(await helpPage(place, terminal.width));
}

async function helpPage(place: Place, width = PAGE_WIDTH): Promise<Text> {
  const { path } = place;
  const [program = PROGRAM] = path;
  const command = asCalled(place.command, program);
  const page = createPage(Math.min(width, PAGE_WIDTH));
  page.usage(usageLines(place));
  for (const paragraph of command.description ?? [`${command.summary}.`]) page.paragraph(paragraph);
  if (command.aliases !== undefined) page.paragraph(`Other names: ${command.aliases.join(", ")}.`);
  page.table(
    "Arguments",
    (command.arguments ?? []).map(({ name, help }) => [name, help]),
  );
  page.table(
    "Commands",
    (command.commands ?? []).map(({ name, summary }) => [name, summary]),
  );
  page.table("Flags", [...command.flags, HELP_FLAG].map(flagRow));
  if (command.takesProxyFlags) {
    page.paragraph(asCalled('And every flag of "pilotboat proxy", see "pilotboat help proxy".', program));
  } else if (command.words !== "passing" && command.words !== "verbatim") {
    page.paragraph(`Flags of every command: ${inheritedFlags(command).map(longName).join(", ")}.`);
  }
  for (const section of (await command.sections?.()) ?? []) page.section(asCalled(section, program));
  page.examples(command.examples);
  if (command.commands !== undefined)
    page.paragraph(`Flags and examples of a command: "${path.join(" ")} COMMAND --help".`);
  return page.text();
}

/** The root help page. */
export function rootPage(commands: readonly Command[], program: string, width = PAGE_WIDTH): Text {
  const page = createPage(Math.min(width, PAGE_WIDTH));
  page.paragraph("pilotboat: an Envoy as a member of an Istio mesh, anywhere");
  page.usage([`${program} COMMAND [flags]`]);
  const nameOf = ({ name }: Command): string => namedAs(program, name);
  const nameWidth = Math.max(...commands.map((one) => nameOf(one).length));
  for (const group of GROUPS) {
    const rows = commands.filter((one) => one.group === group).map((one): Row => [nameOf(one), one.summary]);
    page.table(group, group === "shell" ? [...rows, ["help", HELP_SUMMARY]] : rows, nameWidth);
  }
  page.table("flags", ROOT_FLAGS.map(flagRow));
  page.paragraph(`Flags and examples of a command: "${program} help COMMAND".`);
  return page.text();
}

function createPage(width: number) {
  const blocks: Text[] = [];
  const lines = (texts: readonly Text[]): Text => texts.map((text) => [text, "\n"]);
  const paragraph = (text: string): void => void blocks.push(lines(wrap(text, width)));
  const table = (title: string, rows: readonly Row[], nameWidth = 0): void => {
    if (rows.length > 0) blocks.push([strong(`${title}:`), "\n", nameTable(rows, { width, indent: 2, nameWidth })]);
  };
  return {
    paragraph,
    table,
    usage(all: readonly string[]) {
      const [first = "", ...more] = all.map((text) => wrapAfter(text, width - USAGE.length - 2, USAGE.length));
      blocks.push([strong(USAGE.trimEnd()), " ", first, more.map((text) => [" ".repeat(USAGE.length), text])]);
    },
    section({ title, text, rows = [], lists }: Section) {
      if (text !== undefined) blocks.push(lines([strong(`${title}:`), ...indented(wrap(text, width - 2))]));
      else if (lists === undefined) table(title, rows);
      else blocks.push([lines(wrap(strong(`${title}:`), width)), lists.map((list) => nestedTable(list, width))]);
    },
    examples(all: readonly string[]) {
      blocks.push(lines([strong("Examples:"), ...all.map((line) => `  ${line.replaceAll("\n", "\n  ")}`)]));
    },
    text: (): Text => blocks.map((block, at) => (at === 0 ? block : ["\n", block])),
  };
}

type List = NonNullable<Section["lists"]>[number];

function nestedTable({ title, rows }: List, width: number): Text {
  return [`  ${title}\n`, nameTable(rows, { width, indent: 4 })];
}

function indented(lines: readonly Text[]): Text[] {
  return lines.map((line) => ["  ", line]);
}

const USAGE = "Usage: ";

/** Lines of a width, all but the first further in. */
function wrapAfter(text: string, width: number, indent: number): Text {
  return wrap(text, width).map((line, at) => [at === 0 ? "" : " ".repeat(indent + 2), line, "\n"]);
}

function usageLines({ command, path }: Place): string[] {
  const name = path.join(" ");
  if (command.usage !== undefined) return command.usage.map((words) => `${name} ${words}`);
  if (command.run === undefined) return [`${name} COMMAND [flags]`];
  const words = (command.arguments ?? []).map((one) => (one.isOptional ? `[${one.name}]` : one.name));
  return [[name, ...words, "[flags]"].join(" ")];
}

function longName(flag: FlagSpec): string {
  return `--${flag.name}${valueName(flag)}`;
}

/** `-o, --output yaml|json` and what it is for. */
function flagRow(flag: FlagSpec): Row {
  const { shorthand, help } = flag;
  const short = shorthand === undefined ? "    " : `-${shorthand}, `;
  return [`${short}${longName(flag)}`, `${help}${defaultText(flag)}`];
}

const VALUE_NAMES = { string: "TEXT", strings: "TEXT", int: "NUMBER", duration: "TIME" } as const;
/** More than this of values to choose from are no name in a column. */
const LONGEST_VALUE = 24;

function valueName({ type, value }: FlagSpec): string {
  if (type === "bool") return "";
  if (value === undefined) return ` ${VALUE_NAMES[type]}`;
  return value.length <= LONGEST_VALUE ? ` ${value}` : " NAME";
}

function defaultText({ type, value = "", default: fallback }: FlagSpec): string {
  const choices = value.length > LONGEST_VALUE ? ` (${value.split("|").join(", ")})` : "";
  const isNone = fallback === undefined || fallback === "" || fallback === false || fallback === 0;
  if (isNone || (Array.isArray(fallback) && fallback.length === 0)) return choices;
  return `${choices} (default ${type === "bool" ? "true" : String(fallback)})`;
}
