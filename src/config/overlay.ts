import { HIDDEN, nearest } from "../base/index.ts";
import { type DecodeSink, decodePresent, type Path, PROXY_CONFIG } from "../istio/mesh/index.ts";
import { parseDocument, type Source } from "./document.ts";
import type { ParsedDocument } from "./parsed-document.ts";
import { mismatch, type Origin, type Problem, showFound } from "./problem.ts";
import { isSecretPath } from "./secret-names.ts";

export type Tree = Readonly<Record<string, unknown>>;

/** A document that was decoded: the ProxyConfig fields that are really there, and how to find them again. */
export interface Overlay {
  readonly source: string;
  readonly present: Tree;
  /** Where a field stands; without line and column when the text is JSON. */
  origin(path: Path): Origin;
  /** The same with line and column; parses the text once more when it is JSON. */
  locate(path: Path): Promise<Origin>;
}

export interface OverlayReading {
  readonly overlay: Overlay | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const NOTHING: OverlayReading = { overlay: undefined, problems: [], warnings: [] };

/** Decodes one document as a ProxyConfig. All of its problems are found in one pass. */
export async function readOverlay(source: Source): Promise<OverlayReading> {
  const reading = await readTree(source);
  if ("problem" in reading) return { ...NOTHING, problems: [reading.problem] };
  const { tree, origin, locate } = reading;
  if (tree === undefined) return { ...NOTHING, warnings: reading.warnings };
  const findings = new Findings();
  const present = decodePresent(PROXY_CONFIG, tree, [], findings);
  return {
    overlay: { source: source.source, present, origin, locate },
    problems: await findings.problems(locate),
    warnings: [...reading.warnings, ...(await findings.warnings(locate))],
  };
}

interface TreeReading extends Pick<Overlay, "origin" | "locate"> {
  /** Undefined for an empty document. */
  readonly tree: Tree | undefined;
  readonly warnings: readonly Problem[];
}

/** The JSON tree of a document that should be a mapping. */
export async function readTree(source: Source): Promise<TreeReading | { readonly problem: Problem }> {
  const reading = await parseDocument(source);
  const name = source.source;
  if (!reading.ok) return { problem: { name, origin: reading.origin, message: reading.message } };
  const { tree, rest } = reading.document;
  const warnings = rest === undefined ? [] : [restWarning(name, rest)];
  const origin = (path: Path): Origin => reading.document.locate(path);
  const locate = locator(source, reading.document);
  if (tree === undefined || tree === null) return { tree: undefined, origin, locate, warnings };
  if (isTree(tree)) return { tree, origin, locate, warnings };
  return { problem: { name, origin: await locate([]), ...mismatch(showFound(tree), "a mapping of fields") } };
}

/** What the reference passes over in silence. */
export function restWarning(name: string, origin: Origin): Problem {
  return { name, origin, message: "the rest of the text is ignored: only the first document counts" };
}

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JSON is parsed without positions; they are found out only when someone asks. */
function locator(source: Source, document: ParsedDocument): Overlay["locate"] {
  let positioned: Promise<ParsedDocument> | undefined;
  return async (path) => {
    const origin = document.locate(path);
    if (origin.line !== undefined) return origin;
    positioned ??= parseDocument({ ...source, isPositioned: true }).then((again) =>
      again.ok ? again.document : document,
    );
    return (await positioned).locate(path);
  };
}

interface Finding extends Omit<Problem, "name" | "origin"> {
  readonly path: Path;
}

/** A document with more mistakes of one kind than this is something else; the rest is not reported. */
const MOST_FINDINGS = 100;

/** Collects what a decoder finds, and gives it names and places afterwards. */
export class Findings implements DecodeSink {
  readonly #wrong: Finding[] = [];
  readonly #unknown: Finding[] = [];

  wrongType(path: Path, found: unknown, wanted: string): void {
    if (this.#wrong.length === MOST_FINDINGS) return;
    this.#wrong.push({ path, ...mismatch(isSecretPath(path) ? HIDDEN : showFound(found), wanted) });
  }

  unknownField(path: Path, known: readonly string[]): void {
    if (this.#unknown.length === MOST_FINDINGS) return;
    const close = nearest(String(path.at(-1)), known);
    const hint = close === undefined ? {} : { hint: `Did you mean "${close}"?` };
    this.#unknown.push({ path, message: "unknown field, ignored", ...hint });
  }

  problems(locate: Overlay["locate"]): Promise<Problem[]> {
    return place(this.#wrong, locate);
  }

  warnings(locate: Overlay["locate"]): Promise<Problem[]> {
    return place(this.#unknown, locate);
  }
}

function place(findings: readonly Finding[], locate: Overlay["locate"]): Promise<Problem[]> {
  return Promise.all(
    findings.map(async ({ path, ...rest }) => ({ name: fieldName(path), origin: await locate(path), ...rest })),
  );
}

/** `tracing.customTags.a`, `extraStatTags[0]`. */
function fieldName(path: Path): string {
  return path.map((step, at) => (typeof step === "number" ? `[${step}]` : at === 0 ? step : `.${step}`)).join("");
}
