// From its own file, as in index.ts.
import { AgentError } from "./base/errors.ts";
import { isNamespaceName, isServiceAccountName, KUBERNETES_NAME } from "./istio/kubernetes-names.ts";

interface Kind {
  /** Stands after "wanted". */
  readonly wanted: string;
  readonly fits: (value: unknown) => boolean;
}

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isPort = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65_535;

const TEXT: Kind = { wanted: "a string", fits: (value) => typeof value === "string" };
const TEXTS: Kind = {
  wanted: "an object of strings",
  fits: (value) => isObject(value) && Object.values(value).every(TEXT.fits),
};
const FIELDS: Kind = { wanted: "an object", fits: isObject };
const NAMESPACE: Kind = {
  wanted: `a name of ${KUBERNETES_NAME}`,
  fits: (value) => typeof value === "string" && isNamespaceName(value),
};
const SERVICE_ACCOUNT: Kind = {
  ...NAMESPACE,
  fits: (value) => typeof value === "string" && isServiceAccountName(value),
};
const PORT: Kind = { wanted: "a number from 0 to 65535", fits: isPort };
const SERVICE_PORT: Kind = { wanted: "a number from 1 to 65535", fits: (value) => isPort(value) && value !== 0 };
const MS: Kind = { wanted: "milliseconds above 0", fits: (value) => Number.isFinite(value) && Number(value) > 0 };
const FUNCTION: Kind = { wanted: "a function", fits: (value) => typeof value === "function" };
const SIGNAL: Kind = { wanted: "an AbortSignal", fits: (value) => value instanceof AbortSignal };

/** What startSidecar takes. src/index.ts holds the names against the published types. */
export const SIDECAR_OPTIONS = {
  resources: TEXT,
  values: TEXTS,
  port: PORT,
  appPort: SERVICE_PORT,
  namespace: NAMESPACE,
  serviceAccount: SERVICE_ACCOUNT,
  envoy: TEXT,
  envoyVersion: TEXT,
  proxyConfig: FIELDS,
  env: TEXTS,
  onLog: FUNCTION,
  signal: SIGNAL,
} satisfies Readonly<Record<string, Kind>>;

/** What startControlPlane takes. */
export const CONTROL_PLANE_OPTIONS = {
  resources: TEXT,
  host: TEXT,
  port: PORT,
  trustDomain: TEXT,
  values: TEXTS,
  caFolder: TEXT,
  defaultTtlMs: MS,
  onLog: FUNCTION,
  signal: SIGNAL,
} satisfies Readonly<Record<string, Kind>>;

/** Throws USAGE, naming every option of startSidecar that is unknown or of the wrong kind. */
export function checkSidecarOptions(options: unknown): void {
  check("startSidecar", options, SIDECAR_OPTIONS);
}

/** The same for startControlPlane, which needs `resources`. */
export function checkControlPlaneOptions(options: unknown): void {
  check("startControlPlane", options, CONTROL_PLANE_OPTIONS, ["resources"]);
}

function check(name: string, options: unknown, table: Readonly<Record<string, Kind>>, needed: readonly string[] = []) {
  if (!isObject(options)) throw new AgentError("USAGE", `Cannot use the options of ${name}: wanted an object`);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const problems = [
    ...given.flatMap(([option, value]) => describeProblem(option, value, table)),
    ...needed.filter((one) => !given.some(([option]) => option === one)).map((one) => `"${one}" is missing`),
  ];
  if (problems.length === 0) return;
  throw new AgentError("USAGE", `Cannot use the options of ${name}: ${problems.join("; ")}`, {
    hint: `There are ${Object.keys(table).join(", ")}: docs/library.md`,
  });
}

function describeProblem(option: string, value: unknown, table: Readonly<Record<string, Kind>>): string[] {
  const kind = Object.hasOwn(table, option) ? table[option] : undefined;
  if (kind !== undefined) return kind.fits(value) ? [] : [`"${option}" is no ${kind.wanted.replace(/^an? /, "")}`];
  const meant = Object.keys(table).find((known) => isAlike(known, option));
  return [`there is no "${option}"${meant === undefined ? "" : `, did you mean "${meant}"?`}`];
}

/** One letter more, less or another one, two swapped, or other capitals and separators. */
function isAlike(known: string, option: string): boolean {
  const [a, b] = [known, option].map((word) => word.toLowerCase().replaceAll(/[-_]/g, "")) as [string, string];
  return a === b || distance(a, b) <= (known.length > 4 ? 2 : 1);
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [at, letter] of [...a].entries()) {
    const next = [at + 1];
    for (const [column, other] of [...b].entries()) {
      const replaced = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
