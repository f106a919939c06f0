import { type DecodeSink, decodePresent, type MessageSchema, type Path } from "../proto/mesh/index.ts";
import { parseDocument, parseYaml } from "./document.ts";
import type { ParsedDocument } from "./parsed-document.ts";
import { nearest, type Origin, type Problem, showFound } from "./problem.ts";

/** A document that was decoded: the fields that are really there, and how to find them again. */
export interface Overlay {
  readonly source: string;
  readonly present: Readonly<Record<string, unknown>>;
  /** Where a field stands; parses the text once more when it was JSON. */
  locate(path: Path): Promise<Origin>;
}

export interface OverlayReading {
  readonly overlay: Overlay | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly hint?: string;
}

/** Decodes one document as the message of `schema`. All problems are found in one pass. */
export async function readOverlay(text: string, source: string, schema: MessageSchema): Promise<OverlayReading> {
  const reading = await parseDocument(text, source);
  if (!reading.ok) {
    const problem = { name: source, origin: reading.origin, message: reading.message };
    return { overlay: undefined, problems: [problem], warnings: [] };
  }
  const { tree } = reading.document;
  if (tree === undefined || tree === null) return { overlay: undefined, problems: [], warnings: [] };
  const locate = locator(text, source, reading.document);
  if (typeof tree !== "object" || Array.isArray(tree)) {
    const message = `found ${showFound(tree)}, wanted a mapping of fields`;
    return { overlay: undefined, problems: [{ name: source, origin: await locate([]), message }], warnings: [] };
  }
  const errors: Finding[] = [];
  const unknown: Finding[] = [];
  const present = decodePresent(schema, tree as Readonly<Record<string, unknown>>, [], collect(errors, unknown));
  const place = async (findings: readonly Finding[]): Promise<Problem[]> => {
    const placed = findings.map(async ({ path, ...rest }) => ({
      name: nameOf(path),
      origin: await locate(path),
      ...rest,
    }));
    return (await Promise.all(placed)).sort((a, b) => (a.origin.line ?? 0) - (b.origin.line ?? 0));
  };
  return {
    overlay: { source, present, locate },
    problems: await place(errors),
    warnings: await place(unknown),
  };
}

function collect(errors: Finding[], unknown: Finding[]): DecodeSink {
  return {
    wrongType(path, found, wanted) {
      errors.push({ path, message: `found ${showFound(found)}, wanted ${wanted}` });
    },
    unknownField(path, known) {
      const close = nearest(String(path.at(-1)), known);
      const message = "unknown field, passed over";
      unknown.push(close === undefined ? { path, message } : { path, message, hint: `Did you mean "${close}"?` });
    },
  };
}

/** JSON is parsed without positions; they are found out only when someone asks. */
function locator(text: string, source: string, document: ParsedDocument): (path: Path) => Promise<Origin> {
  let positioned: Promise<ParsedDocument> | undefined;
  return async (path) => {
    const origin = document.locate(path);
    if (origin.line !== undefined) return origin;
    positioned ??= parseYaml(text, source).then((reading) => (reading.ok ? reading.document : document));
    return (await positioned).locate(path);
  };
}

function nameOf(path: Path): string {
  return path.map((step, at) => (typeof step === "number" ? `[${step}]` : at === 0 ? step : `.${step}`)).join("");
}
