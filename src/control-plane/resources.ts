import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonValue } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Document, LineCounter, parseAllDocuments } from "yaml";
import { AgentError, describeError } from "../base/index.ts";
import type { EnvoyTypes } from "./envoy-types.ts";

/** One resource, ready to be sent. */
export interface EnvoyResource {
  readonly name: string;
  readonly any: Any;
  /** Changes with the content. */
  readonly version: string;
}

/** Which nodes get a document's resources; an empty match is every node. */
export interface NodeMatch {
  readonly id?: string;
  readonly type?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface ResourceGroup {
  readonly match: NodeMatch;
  readonly typeUrl: string;
  readonly resources: readonly EnvoyResource[];
}

/** The lists of a document, their message, and the field that names a resource. */
const LISTS = {
  clusters: ["envoy.config.cluster.v3.Cluster", "name"],
  endpoints: ["envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name"],
  listeners: ["envoy.config.listener.v3.Listener", "name"],
  routes: ["envoy.config.route.v3.RouteConfiguration", "name"],
  secrets: ["envoy.extensions.transport_sockets.tls.v3.Secret", "name"],
  extensions: ["envoy.config.core.v3.TypedExtensionConfig", "name"],
} as const;

/**
 * Reads every .yaml and .yml file below `folder`. `${NAME}` and `${NAME:-default}` are replaced from `values` first.
 * Rejects with RESOURCES_INVALID, naming file, line and field; one bad document rejects the whole read.
 */
export async function readResources(
  folder: string,
  values: Readonly<Record<string, string>>,
  types: EnvoyTypes,
): Promise<readonly ResourceGroup[]> {
  const files = await yamlFiles(folder);
  const groups: ResourceGroup[] = [];
  for (const file of files) groups.push(...readFileGroups(file, await readFile(file, "utf8"), values, types));
  return groups;
}

async function yamlFiles(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder, { recursive: true, encoding: "utf8" });
    return names
      .filter((name) => /\.ya?ml$/.test(name))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    throw new AgentError("FILE_UNREADABLE", `Cannot read the folder "${folder}": ${describeError(error)}`, {
      cause: error,
    });
  }
}

function readFileGroups(
  file: string,
  text: string,
  values: Readonly<Record<string, string>>,
  types: EnvoyTypes,
): ResourceGroup[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(replaceValues(file, text, values), { lineCounter: lines });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw invalid(file, lines.linePos(error.pos[0]).line, error.message.split("\n")[0] ?? "");
    return documentGroups(file, document, lines, types);
  });
}

function documentGroups(file: string, document: Document, lines: LineCounter, types: EnvoyTypes): ResourceGroup[] {
  const content = document.toJS() as Readonly<Record<string, unknown>> | null;
  if (content === null) return [];
  const lineOf = (path: readonly (string | number)[]): number => {
    const node = document.getIn(path, true) as { readonly range?: readonly number[] } | undefined;
    return lines.linePos(node?.range?.[0] ?? document.range?.[0] ?? 0).line;
  };
  for (const key of Object.keys(content)) {
    if (key !== "match" && !(key in LISTS)) {
      throw invalid(
        file,
        lineOf([key]),
        `unknown list "${key}", wanted one of ${Object.keys(LISTS).join(", ")} or match`,
      );
    }
  }
  return Object.entries(LISTS).flatMap(([list, [typeName, nameField]]) => {
    const items = content[list];
    if (items === undefined || items === null) return [];
    if (!Array.isArray(items)) throw invalid(file, lineOf([list]), `"${list}" is not a list`);
    const resources = items.map((item: JsonValue, at) => {
      try {
        return toResource(item, typeName, nameField, types);
      } catch (error) {
        throw invalid(file, lineOf([list, at]), `${list}[${at}]: ${describeError(error)}`);
      }
    });
    return [{ match: (content.match ?? {}) as NodeMatch, typeUrl: `type.googleapis.com/${typeName}`, resources }];
  });
}

function toResource(json: JsonValue, typeName: string, nameField: string, types: EnvoyTypes): EnvoyResource {
  const name = (json as Readonly<Record<string, unknown>> | null)?.[nameField];
  if (typeof name !== "string" || name === "") throw new Error(`it has no "${nameField}"`);
  const any = types.pack(typeName, json);
  return { name, any, version: createHash("sha256").update(any.value).digest("hex").slice(0, 12) };
}

function replaceValues(file: string, text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}/g, (reference, name: string, fallback?: string) => {
    const value = values[name] ?? fallback;
    if (value === undefined) throw invalid(file, 1, `${reference} has neither a value nor a default`);
    return value;
  });
}

function invalid(file: string, line: number, what: string): AgentError {
  return new AgentError("RESOURCES_INVALID", `Cannot use "${file}", line ${line}: ${what}`);
}
