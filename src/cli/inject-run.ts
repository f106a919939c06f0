import { AgentError, describeError, escapeLine } from "../base/index.ts";
import { parseDocument } from "../config/index.ts";
import type { Host } from "../host/index.ts";
import { findPod, hasUnknownPod, type Injector, injectPod, reasonNotToInject } from "../inject/index.ts";
import { checkNamespace } from "./cluster-words.ts";
import { type Input, PROGRAM } from "./contract/index.ts";
import type { INJECT_FLAGS } from "./inject-flags.ts";
import { loadInjector } from "./inject-injector.ts";
import { type ManifestText, readManifests } from "./inject-manifests.ts";
import { type InjectedManifest, printManifests } from "./inject-print.ts";

type Tree = Readonly<Record<string, unknown>>;

/** Prints the manifests when all of them are read and injected: a failure prints none. */
export async function inject({ flags, usage }: Input<typeof INJECT_FLAGS>, host: Host): Promise<number> {
  if (flags.filename.length === 0) throw usage("Missing -f PATH");
  const { output, "native-sidecar": native } = flags;
  if (output !== "yaml" && output !== "json") throw usage(`Cannot use --output "${output}", wanted json or yaml`);
  if (!["auto", "true", "false"].includes(native)) {
    throw usage(`Cannot use --native-sidecar "${native}", wanted auto, true or false`);
  }
  if (flags.namespace !== undefined) checkNamespace("--namespace", flags.namespace);
  const texts = await readManifests(flags.filename, host);
  const { injector, namespace } = await loadInjector(flags, host);
  const { stderr, program = PROGRAM } = host;
  const work = new InjectionWork(injector, namespace, (line) => stderr.write(`${program}: ${escapeLine(line)}\n`));
  const manifests: InjectedManifest[] = [];
  for (const text of texts) manifests.push(await work.injectText(text));
  await printManifests(manifests, { output, isDiff: flags.diff }, host);
  if (work.injected === 0) work.tell("nothing was injected");
  return 0;
}

class InjectionWork {
  readonly injector: Injector;
  readonly namespace: string;
  readonly tell: (line: string) => void;
  /** How many pods so far. */
  injected = 0;

  constructor(injector: Injector, namespace: string, tell: (line: string) => void) {
    this.injector = injector;
    this.namespace = namespace;
    this.tell = tell;
  }

  async injectText(manifest: ManifestText): Promise<InjectedManifest> {
    const reading = await parseDocument({ text: manifest.text, source: manifest.source, isPositioned: true });
    if (!reading.ok) {
      const { line = 1, column = 1 } = reading.origin;
      const place = `${manifest.source}:${line + manifest.firstLine - 1}:${column}`;
      throw new AgentError("MANIFEST_INVALID", `Cannot read the manifest at ${place}: ${reading.message}`);
    }
    const { tree } = reading.document;
    if (!isTree(tree)) return { ...manifest, before: tree, after: tree };
    try {
      return { ...manifest, before: tree, after: await this.#injectTree(tree) };
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      const message = `${error.message} (${manifest.source}:${manifest.firstLine})`;
      throw new AgentError(error.code, message, { cause: error.cause, ...(error.hint && { hint: error.hint }) });
    }
  }

  async #injectTree(tree: Tree): Promise<Tree> {
    if (String(tree.kind).endsWith("List") && Array.isArray(tree.items)) return this.#injectList(tree, tree.items);
    const { kind, metadata } = tree;
    const name = isTree(metadata) ? (metadata.name ?? metadata.generateName) : undefined;
    const what = `${String(kind)} "${String(name ?? "")}"`;
    const found = this.#findPod(tree, what);
    if (found === undefined) {
      if (hasUnknownPod(tree))
        this.tell(`${what} is not injected: ${String(tree.apiVersion)} is none of Kubernetes' own kinds`);
      return tree;
    }
    const reason = reasonNotToInject(found.pod, this.injector.config, (line) => this.tell(`${what}: ${line}`));
    if (reason !== undefined) {
      this.tell(`${what} is not injected: ${reason}`);
      return tree;
    }
    this.injected++;
    return found.replace(await injectPod(found.pod, found.workload, this.injector));
  }

  async #injectList(tree: Tree, items: readonly unknown[]): Promise<Tree> {
    const injected: unknown[] = [];
    for (const item of items) injected.push(isTree(item) ? await this.#injectTree(item) : item);
    return items.every((item, at) => item === injected[at]) ? tree : { ...tree, items: injected };
  }

  #findPod(tree: Tree, what: string): ReturnType<typeof findPod> {
    try {
      return findPod(tree, this.namespace);
    } catch (error) {
      throw new AgentError("MANIFEST_INVALID", `Cannot use ${what}: ${describeError(error)}`, { cause: error });
    }
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
