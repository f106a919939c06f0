import { stringify } from "yaml";
import { escapeGoJson, formatGoDuration, goJson } from "../../base/index.ts";
import type { TemplateFunctions } from "../../go-template/engine/index.ts";
import { isTree, type Tree, textsOf, treeOf, treesOf } from "../pod/json.ts";
import { appendNetwork } from "./multus.ts";
import { otelAttributes, providersOf } from "./otel-attributes.ts";
import { proxyConfigJson } from "./proxy-config-text.ts";

/** The functions that Istio's injector adds to sprig's. Source: istio/istio pkg/kube/inject/template.go (InjectionFuncmap). */
export const INJECTOR_FUNCTIONS: TemplateFunctions = {
  ...functions("value", {
    formatDuration: (duration: { Seconds?: number; Nanos?: number } | undefined) =>
      formatGoDuration(BigInt(duration?.Seconds ?? 0) * 1_000_000_000n + BigInt(duration?.Nanos ?? 0)),
    isset: (map: unknown, key: unknown) => isTree(map) && Object.hasOwn(map, String(key)),
    excludeInboundPort,
    includeInboundPorts: (containers: unknown) => portsOf(plainList(containers)),
    applicationPorts: (containers: unknown) =>
      portsOf(plainList(containers).filter(({ name }) => name !== "istio-proxy")),
    kubevirtInterfaces: (text: unknown) => text,
    excludeInterfaces: (text: unknown) => text,
    annotation: (meta: { Annotations?: Tree }, name: unknown, usual: unknown) => {
      const annotations = meta.Annotations ?? {};
      return Object.hasOwn(annotations, String(name)) ? annotations[String(name)] : printed(usual);
    },
    valueOrDefault: (value: unknown, usual: unknown) =>
      value === "" || value === undefined || value === null ? usual : value,
    toJSON: (map: unknown) => (map === undefined || map === null ? "{}" : goJson(plain(map))),
    fromJSON: (text: unknown) => parseJson(String(text)),
    structToJSON: (value: unknown) => (value === undefined || value === null ? "{}" : structJson(value)),
    protoToJSON: (message: unknown) => (isTree(plain(message)) ? proxyConfigJson(plain(message) as Tree) : "{}"),
    toYaml: (value: unknown) => yamlOf(plain(value)),
    indent: (spaces: unknown, text: unknown) => String(text).replaceAll("\n", `\n${" ".repeat(Number(spaces))}`),
    directory: (path: unknown) => String(path).replace(/[^/]*$/, ""),
    contains: (needle: unknown, text: unknown) => printed(text).includes(String(needle)),
    toLower: (text: unknown) => String(text).toLowerCase(),
    appendMultusNetwork: (existing: unknown, network: unknown) =>
      appendNetwork(String(existing ?? ""), String(network)),
    env: (_name: unknown, usual: unknown) => usual, // istiod's variables, of which nothing is known here
    omit: (map: unknown, ...keys: unknown[]) =>
      Object.fromEntries(Object.entries(treeOf(map)).filter(([key]) => !keys.includes(key))),
    strdict: (...words: unknown[]) => {
      const pairs = words.flatMap((word, at) => (at % 2 === 0 ? [[String(word), String(words[at + 1] ?? "")]] : []));
      return Object.fromEntries(pairs);
    },
    toJsonMap: (...maps: unknown[]) => goJson(mergedMaps(maps)),
    mergeMaps: (...maps: unknown[]) => mergedMaps(maps),
    omitNil: (value: unknown) => withoutNils(plain(value)),
    otelResourceAttributes: (
      mesh: unknown,
      annotations: unknown,
      labels: unknown,
      namespace: unknown,
      containers: unknown,
    ) =>
      otelAttributes({
        providers: providersOf(treeOf(plain(mesh))),
        annotations: textsOf(annotations),
        labels: textsOf(labels),
        namespace: String(namespace),
        containers: plainList(containers),
      }),
  }),
};

/** Each argument is taken as it is. */
function functions(kind: "value", all: Readonly<Record<string, (...words: never[]) => unknown>>): TemplateFunctions {
  return Object.fromEntries(Object.entries(all).map(([name, fn]) => [name, { fn, argTypes: [kind] }]));
}

/** As `fmt.Sprint` prints it. */
function printed(value: unknown): string {
  return value === undefined || value === null ? "<nil>" : String(value);
}

/** What a template sees, as JSON. */
function plain(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}

function plainList(value: unknown): readonly Tree[] {
  return treesOf(plain(value));
}

/** A struct keeps the order of its fields, a map has its keys in order. */
function structJson(value: unknown): string {
  const isStruct = isTree(value) && "toJSON" in (value as object);
  return isStruct ? escapeGoJson(JSON.stringify(value)) : goJson(plain(value));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return "{}"; // as the injector has it
  }
}

function yamlOf(value: unknown): string {
  return stringify(value, { version: "1.1", lineWidth: 0, sortMapEntries: true, indentSeq: false });
}

function excludeInboundPort(port: unknown, excluded: unknown): string {
  const [own, list] = [printed(port).trim(), printed(excluded)];
  if (own === "" || own === "0" || list.split(",").includes(own)) return list;
  const others = list.split(",").map((one) => one.trim());
  return [...others.filter((one) => one !== ""), own].join(",");
}

function portsOf(containers: readonly Tree[]): string {
  const ports = containers.flatMap((container) => treesOf(container.ports));
  return ports
    .filter(({ protocol }) => protocol !== "UDP" && protocol !== "SCTP")
    .map(({ containerPort }) => containerPort)
    .join(",");
}

function mergedMaps(maps: readonly unknown[]): Tree {
  return Object.assign({}, ...maps.map(treeOf));
}

/** Undefined for what is nil, or consists of it. */
function withoutNils(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value))
    return kept(
      value,
      value.map(withoutNils).filter((item) => item !== undefined),
    );
  if (!isTree(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, withoutNils(item)] as const);
  const left = Object.fromEntries(entries.filter(([, item]) => item !== undefined));
  return Object.keys(left).length === 0 && entries.length > 0 ? undefined : left;
}

function kept(before: readonly unknown[], after: readonly unknown[]): unknown {
  return after.length === 0 && before.length > 0 ? undefined : after;
}
