import { formatGoDuration } from "../../base/index.ts";
import { encodeJson, goFunctions, sprint, type TemplateFunctions } from "../../go-template/engine/index.ts";
import { type GoNil, GoStruct, type GoValue, goTyped, goTypeName, isNilCollection } from "../../go-template/index.ts";
import { isTree, type Tree, textsOf, treeOf, treesOf } from "../pod/json.ts";
import { appendNetwork } from "./multus.ts";
import { otelAttributes, providersOf } from "./otel-attributes.ts";
import { proxyConfigJson } from "./proxy-config-text.ts";
import { yamlText } from "./yaml-text.ts";

type Texts = Readonly<Record<string, string>>;

/** The functions that Istio's injector adds to sprig's. Source: istio/istio pkg/kube/inject/template.go (InjectionFuncmap). */
export const INJECTOR_FUNCTIONS: TemplateFunctions = goFunctions({
  formatDuration: ["*durationpb.Duration", formatDuration],
  isset: ["texts string", (map: Texts, key: string) => Object.hasOwn(map, key)],
  excludeInboundPort: ["any string", excludeInboundPort],
  includeInboundPorts: ["any", (containers: GoValue) => portsOf(plainList(containers))],
  applicationPorts: [
    "any",
    (containers: GoValue) => portsOf(plainList(containers).filter(({ name }) => name !== "istio-proxy")),
  ],
  kubevirtInterfaces: ["string", (text: string) => text],
  excludeInterfaces: ["string", (text: string) => text],
  annotation: ["v1.ObjectMeta string any", annotation],
  valueOrDefault: ["any any", (value: GoValue, usual: GoValue) => (value === "" || value === null ? usual : value)],
  toJSON: ["texts", (map: Texts) => (isNilCollection(map) ? "{}" : encodeJson(map))],
  fromJSON: ["string", parseJson],
  structToJSON: ["any", (value: GoValue) => (value === null ? "{}" : encodeJson(value))],
  protoToJSON: ["any", (message: GoValue) => (isTree(plain(message)) ? proxyConfigJson(plain(message) as Tree) : "{}")],
  toYaml: ["any", (value: GoValue) => yamlText(plain(value))],
  indent: ["int string", (spaces: bigint, text: string) => text.replaceAll("\n", `\n${" ".repeat(Number(spaces))}`)],
  directory: ["string", (path: string) => path.replace(/[^/]*$/, "")],
  contains: ["string string", (needle: string, text: string) => text.includes(needle)],
  toLower: ["string", (text: string) => text.toLowerCase()],
  appendMultusNetwork: ["string string", appendNetwork],
  env: ["string string", (_name: string, usual: string) => usual], // istiod's variables, of which nothing is known here
  omit: ["texts ...string", (map: Texts, ...keys: string[]) => omitted(map, keys)],
  strdict: ["...string", textMap],
  toJsonMap: ["...texts", (...maps: Texts[]) => (maps.length === 0 ? "null" : encodeJson(mergedMaps(maps)))],
  mergeMaps: ["...texts", (...maps: Texts[]) => (maps.length === 0 ? null : mergedMaps(maps))],
  omitNil: ["any", (value: GoValue) => withoutNils(value) ?? null],
  otelResourceAttributes: [
    "*v1alpha1.MeshConfig texts texts string any",
    (mesh: GoValue, annotations: GoValue, labels: GoValue, namespace: string, containers: GoValue) =>
      otelAttributes({
        providers: providersOf(treeOf(plain(mesh))),
        annotations: textsOf(annotations),
        labels: textsOf(labels),
        namespace,
        containers: plainList(containers),
      }),
  ],
});

/** What a template sees, as JSON. */
function plain(value: GoValue): unknown {
  return JSON.parse(encodeJson(value));
}

function plainList(value: GoValue): readonly Tree[] {
  return treesOf(plain(value));
}

/** As `fmt.Sprint` prints what is no collection. */
function printed(value: GoValue): string {
  return value === null ? "<nil>" : sprint([value]);
}

function formatDuration(duration: GoStruct | GoNil | null): string {
  const fields = duration instanceof GoStruct ? duration.fields : {};
  const part = (name: string): bigint => BigInt(String(fields[name] ?? 0));
  return formatGoDuration(part("Seconds") * 1_000_000_000n + part("Nanos"));
}

function annotation(meta: GoStruct, name: string, usual: GoValue): string {
  const annotations = textsOf(meta.fields.Annotations);
  return Object.hasOwn(annotations, name) ? (annotations[name] ?? "") : printed(usual);
}

function parseJson(text: string): GoValue {
  try {
    return JSON.parse(text);
  } catch {
    return "{}"; // as the injector has it
  }
}

function excludeInboundPort(port: GoValue, excluded: string): string {
  const own = printed(port).trim();
  if (own === "" || own === "0" || excluded.split(",").includes(own)) return excluded;
  const others = excluded.split(",").map((one) => one.trim());
  return [...others.filter((one) => one !== ""), own].join(",");
}

function portsOf(containers: readonly Tree[]): string {
  const ports = containers.flatMap((container) => treesOf(container.ports));
  return ports
    .filter(({ protocol }) => protocol !== "UDP" && protocol !== "SCTP")
    .map(({ containerPort }) => containerPort)
    .join(",");
}

function textMap(...words: string[]): object {
  const pairs = words.flatMap((word, at) => (at % 2 === 0 ? [[word, words[at + 1] ?? ""]] : []));
  return goTyped(Object.fromEntries(pairs), "map[string]string");
}

function omitted(map: Texts, keys: readonly string[]): object {
  return goTyped(Object.fromEntries(Object.entries(map).filter(([key]) => !keys.includes(key))), "map[string]string");
}

function mergedMaps(maps: readonly Texts[]): object {
  return goTyped({ ...Object.assign({}, ...maps) }, "map[string]string");
}

/** Undefined for what is nil, or consists of it; maps and lists of a type of their own are left as they are. */
function withoutNils(value: GoValue): GoValue {
  if (value === null || value === undefined) return undefined;
  const type = goTypeName(value);
  if (type === "[]interface {}") return kept(value as readonly GoValue[]);
  if (type !== "map[string]interface {}") return value;
  const entries = Object.entries(value as object).map(([key, item]) => [key, withoutNils(item)] as const);
  const left = Object.fromEntries(entries.filter(([, item]) => item !== undefined));
  return Object.keys(left).length === 0 && entries.length > 0 ? undefined : left;
}

function kept(before: readonly GoValue[]): GoValue {
  const after = before.map(withoutNils).filter((item) => item !== undefined);
  return after.length === 0 && before.length > 0 ? undefined : after;
}
