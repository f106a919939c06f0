import { resolve } from "node:path";
import type { AgentReport } from "../agent/index.ts";
import {
  AgentError,
  parseCertificates,
  parseChain,
  parsePrivateKey,
  readTextFile,
  Secret,
  splitHostPort,
} from "../base/index.ts";
import { readEgressProxy } from "../config/index.ts";
import type { GrpcTls } from "../grpc/index.ts";
import type { Host } from "../host/index.ts";
import type { AdsServer, NodeWords } from "../xds-client/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { placeOf } from "./agent-place.ts";
import { callAgent } from "./call-agent.ts";
import { readNamedFile } from "./named-path.ts";

export interface ServerFlags {
  readonly address: string | undefined;
  readonly plaintext: boolean;
  readonly "root-cert": string | undefined;
  readonly "server-name": string | undefined;
  readonly token: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly "node-id": string | undefined;
  readonly namespace: string | undefined;
  readonly "cluster-id": string | undefined;
  readonly "run-folder": string | undefined;
  readonly "config-path": string;
}

/** Whom to ask, and as whom. */
export interface Access {
  readonly server: AdsServer;
  /** For a node that nobody has described. */
  readonly words: NodeWords;
  /** The node in the bootstrap of the agent that was named; undefined without one. */
  readonly bootstrapNode: unknown;
}

/** What flags, or a running agent, say of a server. Flags beat the agent. Rejects with USAGE, FILE_UNREADABLE, or as `callAgent` does. */
export async function readAccess(flags: ServerFlags, host: Host): Promise<Access> {
  const found =
    flags.address === undefined || flags["run-folder"] !== undefined ? await askAgent(flags, host) : undefined;
  const { controlPlaneAccess: agents } = found?.report ?? {};
  const address = checkAddress(flags.address ?? found?.report.controlPlane.address ?? "");
  const tokenFile = flags.token ?? agents?.tokenFile;
  const isPlaintext =
    flags["root-cert"] === undefined && (flags.plaintext || (agents?.isPlaintext ?? address.endsWith(":15010")));
  if (isPlaintext || flags.plaintext) refuseTlsFlags(flags);
  const token = isPlaintext || tokenFile === undefined ? undefined : await readToken(tokenFile, flags, host);
  const clusterId = flags["cluster-id"] ?? agents?.clusterId ?? "Kubernetes";
  const { namespace, serviceAccount } = workloadOf(token);
  return {
    server: {
      address,
      tls: isPlaintext ? "plaintext" : await readTls(address, flags, agents, host),
      headers: [
        ["clusterid", clusterId],
        ...(token === undefined ? [] : [["authorization", `Bearer ${token.revealText()}`] as const]),
      ],
      proxy: readEgressProxy(host.env, []),
    },
    words: {
      id: flags["node-id"] ?? found?.report.node,
      namespace: flags.namespace ?? namespace ?? "default",
      serviceAccount: flags.namespace === undefined ? serviceAccount : undefined,
      clusterId,
    },
    bootstrapNode: flags["node-id"] === undefined ? found?.node : undefined,
  };
}

function refuseTlsFlags(flags: ServerFlags): void {
  if (flags.token !== undefined) {
    throw new AgentError("USAGE", "Cannot send --token without TLS: everybody on the way could read it");
  }
  const given = (["root-cert", "server-name", "cert", "key"] as const).find((name) => flags[name] !== undefined);
  if (given === undefined) return;
  const why = flags.plaintext ? "leave out either it or --plaintext" : "the port is one without TLS; give --root-cert";
  throw new AgentError("USAGE", `Cannot use --${given} without TLS: ${why}`);
}

interface FoundAgent {
  readonly report: AgentReport;
  readonly node: unknown;
}

const LOOK_LIMIT_MS = 5_000;

async function askAgent(flags: ServerFlags, host: Host): Promise<FoundAgent> {
  const place = placeOf(flags);
  const call = { method: "GET", path: "/debug/agent", limitMs: LOOK_LIMIT_MS } as const;
  const { body } = await callAgent(host, place, call).catch((error: unknown) => {
    if (flags["run-folder"] !== undefined || !(error instanceof AgentError)) throw error;
    throw new AgentError(error.code, error.message, {
      hint: "Name a server with --address, or a running agent with --run-folder",
    });
  });
  const report = readAnswer(body, (answer: AgentReport) => answer);
  const bootstrap = resolve(host.cwd, place.runFolder, place.configPath, "envoy-rev.json");
  return { report, node: await nodeIn(bootstrap) };
}

/** Undefined where the agent has no Envoy, or one with a configuration of the user's: then only the id is known. */
async function nodeIn(bootstrap: string): Promise<unknown> {
  try {
    return (JSON.parse(await readTextFile(bootstrap, { mostBytes: 64 * 2 ** 20 })) as { node?: unknown }).node;
  } catch {
    return undefined;
  }
}

function checkAddress(address: string): string {
  const split = splitHostPort(address);
  if (typeof split !== "string") return address;
  throw new AgentError("USAGE", `Cannot use --address "${address}": ${split}`, {
    hint: "Give host and port, such as localhost:15012",
  });
}

type AgentsAccess = AgentReport["controlPlaneAccess"];

async function readTls(address: string, flags: ServerFlags, agents: AgentsAccess, host: Host): Promise<GrpcTls> {
  const rootFile = flags["root-cert"] ?? agents?.rootFile;
  const roots = rootFile === undefined ? "system" : await readRoots(rootFile, host);
  const files = clientFiles(flags) ?? agents?.clientFiles;
  const clientCertificate = files && (await readPair(files, host));
  return {
    roots,
    serverName: flags["server-name"] ?? (agents?.nameOverride || usualName(address)),
    ...(clientCertificate && { clientCertificate }),
  };
}

async function readRoots(file: string, host: Host): Promise<Buffer> {
  const pem = await readNamed(file, "--root-cert", host);
  if (parseCertificates(pem).length === 0) throw unusable(file, "--root-cert", "it holds no certificate, wanted PEM");
  return Buffer.from(pem);
}

async function readPair(files: { readonly certChain: string; readonly key: string }, host: Host) {
  const [certChain, key] = [
    await readNamed(files.certChain, "--cert", host),
    await readNamed(files.key, "--key", host),
  ];
  const [leaf] = parseChain(certChain);
  if (leaf === undefined) throw unusable(files.certChain, "--cert", "it holds no certificate, wanted PEM");
  const parsed = parsePrivateKey(key);
  if (typeof parsed === "string") throw unusable(files.key, "--key", parsed);
  if (!leaf.checkPrivateKey(parsed.key)) {
    throw unusable(files.key, "--key", `it is not the key of the certificate in "${files.certChain}" (--cert)`);
  }
  return { certChain: Buffer.from(certChain), key: new Secret(key) };
}

function unusable(file: string, flag: string, why: string): AgentError {
  return new AgentError("USAGE", `Cannot use "${file}" (${flag}): ${why}`);
}

/** istiod's certificate does not have `localhost`, to which people forward its port. Source: istio/istio pkg/istio-agent/xds_proxy.go. */
function usualName(address: string): string {
  const split = splitHostPort(address);
  const name = typeof split === "string" ? address : split.host;
  return name === "localhost" ? "istiod.istio-system.svc" : name;
}

function clientFiles({ cert, key }: ServerFlags): { readonly certChain: string; readonly key: string } | undefined {
  if ((cert === undefined) !== (key === undefined)) {
    throw new AgentError("USAGE", `Cannot use --${cert === undefined ? "key" : "cert"} alone, wanted --cert and --key`);
  }
  return cert === undefined || key === undefined ? undefined : { certChain: cert, key };
}

async function readToken(file: string, flags: ServerFlags, host: Host): Promise<Secret | undefined> {
  if (flags.token === undefined) {
    const text = await readTextFile(resolve(host.cwd, file)).catch(() => ""); // an agent may do without one
    return text.trim() === "" ? undefined : new Secret(text.trim());
  }
  const text = (await readNamed(file, "--token", host)).trim();
  if (text === "") throw new AgentError("TOKEN_UNREADABLE", `Cannot use "${file}" (--token): it is empty`);
  if (/[^\x21-\x7e]/.test(text))
    throw new AgentError("TOKEN_UNREADABLE", `Cannot use "${file}" (--token): it is no token`);
  return new Secret(text);
}

function readNamed(file: string, word: string, host: Host): Promise<string> {
  return readNamedFile(resolve(host.cwd, file), word);
}

/** Of Kubernetes' tokens: `system:serviceaccount:NAMESPACE:NAME`. It is the server that verifies them. */
function workloadOf(token: Secret | undefined): { namespace?: string; serviceAccount?: string } {
  try {
    const [, claims = ""] = token?.revealText().split(".") ?? [];
    const { sub } = JSON.parse(Buffer.from(claims, "base64url").toString("utf8")) as { sub?: unknown };
    const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(String(sub)) ?? [];
    return namespace === undefined || serviceAccount === undefined ? {} : { namespace, serviceAccount };
  } catch {
    return {};
  }
}
