import { homedir } from "node:os";
import { delimiter, dirname, isAbsolute, resolve } from "node:path";
import { parse } from "yaml";
import {
  AgentError,
  describeError,
  isAbsent,
  MOST_YAML_DEPTH,
  readTextFile,
  Secret,
  tooDeepAt,
} from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { type Entry, entryOf, flag, list, text } from "./kubeconfig-values.ts";

/** Text itself, or the absolute path of a file that is read anew for each connection. */
export type TextSource = { readonly text: string } | { readonly path: string };
export type SecretSource = { readonly secret: Secret } | { readonly path: string };

/** Where the API server is, and how to know that it is the right one. */
export interface KubeServer {
  /** `https://host:port/prefix`. */
  readonly url: string;
  /** PEM. Undefined: the roots of the runtime. */
  readonly ca: TextSource | undefined;
  /** The name that its certificate has to be for, when that is not the host of the URL. */
  readonly serverName: string | undefined;
  /** Any certificate will do. */
  readonly isInsecure: boolean;
  /** The cluster's own proxy; undefined leaves it to HTTPS_PROXY. */
  readonly proxyUrl: string | undefined;
  /** What the cluster's entry has for exec plugins, under `client.authentication.k8s.io/exec`. */
  readonly execConfig: unknown;
}

/** How the caller proves who it is; several may be given at once. */
export interface KubeUser {
  readonly name: string;
  readonly certificate: { readonly chain: TextSource; readonly key: SecretSource } | undefined;
  readonly token: Secret | undefined;
  readonly tokenFile: string | undefined;
  readonly basic: { readonly username: string; readonly password: Secret } | undefined;
  readonly exec: ExecPlugin | undefined;
  /** Of an `auth-provider`, which only old versions of kubectl know: its name, and its ID token when it has one. */
  readonly legacyProvider: { readonly name: string; readonly idToken: Secret | undefined } | undefined;
  /** Headers of impersonation. */
  readonly impersonation: readonly (readonly [name: string, value: string])[];
}

/** A program that prints credentials (KEP 541). */
export interface ExecPlugin {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** `client.authentication.k8s.io/v1` or `…/v1beta1`. */
  readonly apiVersion: string;
  readonly installHint: string | undefined;
  readonly wantsClusterInfo: boolean;
  readonly interactiveMode: "Never" | "IfAvailable" | "Always";
}

export interface KubeContext {
  readonly name: string;
  readonly server: KubeServer;
  readonly user: KubeUser;
  readonly namespace: string | undefined;
  /** The files that were read. */
  readonly files: readonly string[];
}

export interface KubeconfigChoice {
  /** Default: the current context. */
  readonly context?: string | undefined;
  /** One file instead of KUBECONFIG. */
  readonly kubeconfig?: string | undefined;
}

/**
 * The context that kubectl would use. Files are those of `--kubeconfig`, KUBECONFIG or `~/.kube/config`; of entries with
 * the same name the first counts, and relative paths start at the file that has them. Undefined when there is no file and
 * none was asked for. Rejects with KUBECONFIG_INVALID. Source: client-go tools/clientcmd (loader.go).
 */
export async function readKubeContext(choice: KubeconfigChoice, host: KubeHost): Promise<KubeContext | undefined> {
  const { paths, isExplicit } = kubeconfigPaths(choice, host);
  const found = await Promise.all(paths.map((path) => readKubeconfig(path, isExplicit)));
  const files = found.filter((one) => one !== undefined);
  if (files.length === 0) {
    if (choice.context === undefined) return undefined;
    throw invalid(`Cannot find context "${choice.context}": there is no kubeconfig`, `Looked at: ${paths.join(", ")}`);
  }
  const name = choice.context ?? files.map(({ content }) => text(content["current-context"])).find(Boolean);
  if (name === undefined) throw noCurrentContext(files);
  const context = findEntry(files, "contexts", "context", name);
  if (context === undefined) throw unknownContext(name, files);
  const clusterName = text(context.value.cluster) ?? "";
  const userName = text(context.value.user) ?? "";
  const cluster = findEntry(files, "clusters", "cluster", clusterName);
  if (cluster === undefined) throw dangling(name, "cluster", clusterName, context);
  const user = userName === "" ? undefined : findEntry(files, "users", "user", userName);
  if (user === undefined && userName !== "") throw dangling(name, "user", userName, context);
  return {
    name,
    server: readServer(cluster, clusterName),
    user: user === undefined ? { ...NOBODY, name: userName } : readUser(user, userName),
    namespace: text(context.value.namespace),
    files: files.map(({ path }) => path),
  };
}

export type KubeHost = Pick<Host, "env" | "cwd" | "stderr">;

/** Somebody without any proof. */
export const NOBODY: Omit<KubeUser, "name"> = {
  certificate: undefined,
  token: undefined,
  tokenFile: undefined,
  basic: undefined,
  exec: undefined,
  legacyProvider: undefined,
  impersonation: [],
};

interface KubeconfigFile {
  readonly path: string;
  readonly content: Entry;
}

function kubeconfigPaths({ kubeconfig }: KubeconfigChoice, { env, cwd }: KubeHost) {
  if (kubeconfig !== undefined) return { paths: [resolve(cwd, kubeconfig)], isExplicit: true };
  const named = (env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  if (named.length > 0) return { paths: [...new Set(named.map((path) => resolve(cwd, path)))], isExplicit: false };
  return { paths: [resolve(env.HOME || homedir(), ".kube", "config")], isExplicit: false };
}

/** Undefined when it is not there, and nobody asked for just this one. */
async function readKubeconfig(path: string, isExplicit: boolean): Promise<KubeconfigFile | undefined> {
  let source: string;
  try {
    source = await readTextFile(path);
  } catch (error) {
    if (isAbsent(error) && !isExplicit) return undefined;
    throw invalid(`Cannot read the kubeconfig "${path}": ${describeError(error)}`);
  }
  if (tooDeepAt(source, MOST_YAML_DEPTH) !== undefined) throw invalid(`Cannot use "${path}": it is nested too deeply`);
  try {
    const content: unknown = parse(source, { uniqueKeys: false, logLevel: "silent" });
    return { path, content: entryOf(content) };
  } catch (error) {
    const [reason = ""] = describeError(error).split("\n"); // what follows quotes the file
    throw invalid(`Cannot use the kubeconfig "${path}": ${reason.replace(/:$/, "")}, expected YAML or JSON`);
  }
}

interface FoundEntry {
  readonly value: Entry;
  readonly path: string;
}

/** The first of its name. */
function findEntry(files: readonly KubeconfigFile[], kind: string, field: string, name: string) {
  for (const { path, content } of files) {
    const found = list(content[kind]).find((one) => text(entryOf(one).name) === name);
    if (found !== undefined) return { path, value: entryOf(entryOf(found)[field]) };
  }
  return undefined;
}

function readServer({ value, path }: FoundEntry, name: string): KubeServer {
  const url = text(value.server) ?? "";
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw invalid(`Cannot use cluster "${name}" of "${path}": its server is "${url}", expected an http or https URL`);
  }
  const extension = list(value.extensions)
    .map(entryOf)
    .find((one) => one.name === "client.authentication.k8s.io/exec");
  return {
    url,
    ca: textSource(value, "certificate-authority", path),
    serverName: text(value["tls-server-name"]),
    isInsecure: flag(value["insecure-skip-tls-verify"]),
    proxyUrl: text(value["proxy-url"]),
    execConfig: extension?.extension,
  };
}

function readUser({ value, path }: FoundEntry, name: string): KubeUser {
  const chain = textSource(value, "client-certificate", path);
  const key = textSource(value, "client-key", path);
  if ((chain === undefined) !== (key === undefined)) {
    const [has, lacks] = chain === undefined ? ["key", "certificate"] : ["certificate", "key"];
    throw invalid(`Cannot use user "${name}" of "${path}": it has a client ${has} and no client ${lacks}`);
  }
  const token = text(value.token);
  const tokenFile = text(value.tokenFile);
  const username = text(value.username);
  const provider = entryOf(value["auth-provider"]);
  const idToken = text(entryOf(provider.config)["id-token"]);
  return {
    name,
    certificate: chain === undefined || key === undefined ? undefined : { chain, key: secretSource(key) },
    token: token === undefined ? undefined : new Secret(token),
    tokenFile: tokenFile === undefined ? undefined : resolve(dirname(path), tokenFile),
    basic: username === undefined ? undefined : { username, password: new Secret(text(value.password) ?? "") },
    exec: value.exec == null ? undefined : readExec(entryOf(value.exec), path, name),
    legacyProvider:
      provider.name === undefined
        ? undefined
        : { name: String(provider.name), idToken: idToken === undefined ? undefined : new Secret(idToken) },
    impersonation: readImpersonation(value),
  };
}

const EXEC_VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const MODES = ["Never", "IfAvailable", "Always"] as const;

function readExec(exec: Entry, path: string, user: string): ExecPlugin {
  const command = text(exec.command) ?? "";
  const apiVersion = text(exec.apiVersion) ?? "";
  const whose = `the exec plugin of user "${user}" in "${path}"`;
  if (command === "") throw invalid(`Cannot use ${whose}: it has no command`);
  if (!EXEC_VERSIONS.includes(apiVersion)) {
    const found = `its apiVersion is "${apiVersion}", expected ${EXEC_VERSIONS.map((one) => `"${one}"`).join(" or ")}`;
    throw invalid(`Cannot use ${whose}: ${found}`, "Let the tool that wrote this kubeconfig write it again");
  }
  const isPath = /[/\\]/.test(command) && !isAbsolute(command);
  return {
    command: isPath ? resolve(dirname(path), command) : command,
    args: list(exec.args).map((one) => text(one) ?? ""),
    env: Object.fromEntries(
      list(exec.env).map((one) => [text(entryOf(one).name) ?? "", text(entryOf(one).value) ?? ""]),
    ),
    apiVersion,
    installHint: text(exec.installHint),
    wantsClusterInfo: flag(exec.provideClusterInfo),
    interactiveMode: MODES.find((mode) => mode === exec.interactiveMode) ?? "IfAvailable",
  };
}

/** Source: client-go transport/round_trippers.go (NewImpersonatingRoundTripper). */
function readImpersonation(value: Entry): KubeUser["impersonation"] {
  const single = [
    ["Impersonate-User", text(value.as)],
    ["Impersonate-Uid", text(value["as-uid"])],
  ] as const;
  const groups = list(value["as-groups"]).map((group) => ["Impersonate-Group", text(group) ?? ""] as const);
  const extra = Object.entries(entryOf(value["as-user-extra"])).flatMap(([key, values]) =>
    list(values).map((one) => [`Impersonate-Extra-${encodeURIComponent(key)}`, text(one) ?? ""] as const),
  );
  return [...single.flatMap(([name, one]) => (one === undefined ? [] : [[name, one] as const])), ...groups, ...extra];
}

/** `NAME-data` in base64 goes before the file of `NAME`. */
function textSource(value: Entry, name: string, path: string): TextSource | undefined {
  const inline = text(value[`${name}-data`]);
  if (inline !== undefined) return { text: Buffer.from(inline, "base64").toString("utf8") };
  const file = text(value[name]);
  return file === undefined ? undefined : { path: resolve(dirname(path), file) };
}

function secretSource(source: TextSource): SecretSource {
  return "text" in source ? { secret: new Secret(source.text) } : source;
}

/** The names of all contexts, in the order of the files. */
function contextNames(files: readonly KubeconfigFile[]): readonly string[] {
  const names = files.flatMap(({ content }) => list(content.contexts).map((one) => text(entryOf(one).name) ?? ""));
  return [...new Set(names.filter((name) => name !== ""))];
}

function noCurrentContext(files: readonly KubeconfigFile[]): AgentError {
  const names = contextNames(files);
  const known = names.length === 0 ? "There are none" : `Name one with --context: ${names.join(", ")}`;
  return invalid(
    `Cannot choose a cluster: "${files.map(({ path }) => path).join('", "')}" has no current context`,
    known,
  );
}

function unknownContext(name: string, files: readonly KubeconfigFile[]): AgentError {
  const names = contextNames(files);
  const known = names.length === 0 ? "There are none" : `There are: ${names.join(", ")}`;
  return invalid(`Cannot find context "${name}" in "${files.map(({ path }) => path).join('", "')}"`, known);
}

function dangling(context: string, kind: string, name: string, { path }: FoundEntry): AgentError {
  return invalid(`Cannot use context "${context}" of "${path}": it names the ${kind} "${name}", and there is none`);
}

function invalid(message: string, hint?: string): AgentError {
  return new AgentError("KUBECONFIG_INVALID", message, hint === undefined ? {} : { hint });
}
