import { resolve } from "node:path";
import { AgentError } from "../base/index.ts";
import { formatProblem, parseDocument, readMeshSettings } from "../config/index.ts";
import type { Host } from "../host/index.ts";
import { type Injector, readInjectionConfig } from "../inject/index.ts";
import type { Cluster, KubeObject } from "../kubernetes/index.ts";
import { VERSION } from "../version.ts";
import { openNamedCluster } from "./cluster-words.ts";
import type { Input } from "./contract/index.ts";
import type { INJECT_FLAGS } from "./inject-flags.ts";
import { readProxyConfigResources } from "./inject-proxy-configs.ts";
import { readNamedFile } from "./named-path.ts";
import { printWarnings } from "./print-error.ts";

type Flags = Input<typeof INJECT_FLAGS>["flags"];

export interface LoadedInjector {
  readonly injector: Injector;
  /** Of manifests that name none. */
  readonly namespace: string;
}

/** A text, and where it comes from, for people. */
interface Named {
  readonly text: string;
  readonly source: string;
}

interface InjectorTexts {
  readonly config: Named;
  readonly values: Named;
  readonly mesh: Named;
}

/** Reads templates, values and mesh from files, or else from the cluster; with `--built-in` what no file says is Istio's default. */
export async function loadInjector(flags: Flags, host: Host): Promise<LoadedInjector> {
  const files = [flags.injectConfigFile, flags.valuesFile, flags.meshConfigFile];
  const isComplete = flags["built-in"] || files.every((file) => file !== undefined);
  const cluster = isComplete ? undefined : await openCluster(flags, host);
  const texts = await readTexts(flags, cluster, host);
  const settings = await readMeshSettings({ ...texts.mesh, isPositioned: true });
  printWarnings(host, settings.warnings.map(formatProblem));
  const resources = await readProxyConfigResources(cluster, settings.mesh.rootNamespace, host);
  const { config, values } = await (flags["built-in"] ? builtIn(texts, flags) : fromTexts(texts));
  const injector: Injector = {
    ...{ config, values },
    mesh: settings.mesh,
    meshProxyConfig: () => settings.proxyConfigOf([]),
    proxyConfigOf: (pod) => settings.proxyConfigOf(resources.overlaysOf(pod)),
    revision: flags.revision ?? (String(values.revision ?? "") || "default"),
    isNativeSidecar: await isNativeSidecar(flags["native-sidecar"], cluster, host),
    image: flags.image === "istio" ? undefined : (flags.image ?? `pilotboat:${VERSION}`),
  };
  return { injector, namespace: flags.namespace ?? cluster?.namespace ?? "default" };
}

async function openCluster(flags: Flags, host: Host): Promise<Cluster> {
  try {
    return await openNamedCluster(flags, host);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "KUBECONFIG_MISSING") throw error;
    throw new AgentError(error.code, error.message, {
      hint: `${error.hint}; or use --built-in, which needs no cluster`,
    });
  }
}

type Templates = Pick<Injector, "config" | "values">;

async function fromTexts({ config, values }: InjectorTexts): Promise<Templates> {
  return {
    config: await readInjectionConfig(config.text, config.source, readYaml),
    values: await readValues(values),
  };
}

async function builtIn({ values }: InjectorTexts, { revision, image, injectConfigFile }: Flags): Promise<Templates> {
  if (injectConfigFile !== undefined) throw twoTemplates();
  const { BUILT_IN, builtInValues } = await import("../inject/built-in/index.ts");
  const own = await readValues(values);
  if (image === "istio" && !isTree(own.global)) {
    throw new AgentError("USAGE", "Cannot use --image istio with --built-in: nothing names an image of Istio", {
      hint: "Give --image IMAGE, or --valuesFile with global.hub and global.tag",
    });
  }
  const named = revision === undefined || revision === "default" ? {} : { revision };
  return { config: BUILT_IN, values: builtInValues({ ...named, ...own }) };
}

function twoTemplates(): AgentError {
  return new AgentError("USAGE", "Cannot use --injectConfigFile with --built-in: both say which templates there are");
}

async function readValues({ text, source }: Named): Promise<Tree> {
  const values = (await readYaml(text, source)) ?? {};
  if (isTree(values)) return values;
  throw new AgentError("INJECTION_FAILED", `Cannot use ${source}: it is no mapping`);
}

type Tree = Readonly<Record<string, unknown>>;

async function readYaml(text: string, source: string): Promise<unknown> {
  const reading = await parseDocument({ text, source, isPositioned: true });
  if (reading.ok) return reading.document.tree;
  const { line = 1, column = 1 } = reading.origin;
  throw new AgentError("INJECTION_FAILED", `Cannot read ${source}, line ${line}, column ${column}: ${reading.message}`);
}

async function readTexts(flags: Flags, cluster: Cluster | undefined, host: Host): Promise<InjectorTexts> {
  const { revision, "istio-namespace": namespace } = flags;
  const suffix = revision === undefined || revision === "default" ? "" : `-${revision}`;
  const maps = new Map<string, Promise<KubeObject>>();
  const keyOf = async (name: string, key: string): Promise<Named> => {
    if (cluster === undefined) return { text: "", source: "nothing" };
    const found = maps.get(name) ?? cluster.get({ resource: "configmaps", namespace, name }, host.signals.stop);
    maps.set(name, found);
    const source = `key "${key}" of ConfigMap "${name}" in namespace "${namespace}"`;
    const data = (await found).data;
    const text = isTree(data) ? data[key] : undefined;
    if (typeof text !== "string") throw new AgentError("INJECTION_FAILED", `Cannot find ${source}`);
    return { text, source };
  };
  const fileOf = async (flag: string, path: string): Promise<Named> => ({
    text: await readNamedFile(resolve(host.cwd, path), `--${flag}`),
    source: `"${path}"`,
  });
  const { injectConfigFile, valuesFile, meshConfigFile } = flags;
  const injectorMap = flags.injectConfigMapName ?? `istio-sidecar-injector${suffix}`;
  const meshMap = flags.meshConfigMapName ?? `istio${suffix}`;
  return {
    config: await (injectConfigFile === undefined
      ? keyOf(injectorMap, "config")
      : fileOf("injectConfigFile", injectConfigFile)),
    values: await (valuesFile === undefined ? keyOf(injectorMap, "values") : fileOf("valuesFile", valuesFile)),
    mesh: await (meshConfigFile === undefined ? keyOf(meshMap, "mesh") : fileOf("meshConfigFile", meshConfigFile)),
  };
}

/** Source: istio/istio pkg/kube/inject/webhook.go (DetectNativeSidecar). */
async function isNativeSidecar(asked: string, cluster: Cluster | undefined, host: Host): Promise<boolean> {
  if (asked !== "auto") return asked === "true";
  if (cluster === undefined) return false;
  try {
    const nodes = await cluster.list({ resource: "nodes" }, {}, host.signals.stop);
    return nodes.every((node) => minorOf(node) >= FIRST_NATIVE_MINOR);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "KUBE_FORBIDDEN") throw error;
    printWarnings(host, [`the sidecar is no native one: ${error.message}; --native-sidecar=true makes it one`]);
    return false;
  }
}

const FIRST_NATIVE_MINOR = 33;

function minorOf({ status }: KubeObject): number {
  const info = isTree(status) && isTree(status.nodeInfo) ? status.nodeInfo : {};
  return Number(/^v?\d+\.(\d+)/.exec(String(info.kubeletVersion))?.[1] ?? 0);
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
