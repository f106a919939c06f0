import type { Duplex } from "node:stream";
import { AgentError } from "../base/index.ts";
import { createAuthenticator } from "./authenticator.ts";
import { type KubeAnswer, type KubeCall, type Line, send } from "./call.ts";
import { createDial } from "./dial.ts";
import { inClusterContext } from "./in-cluster.ts";
import { type KubeContext, type KubeconfigChoice, type KubeHost, readKubeContext } from "./kubeconfig.ts";
import { entryOf, list, text } from "./kubeconfig-values.ts";
import { nearNames } from "./near-names.ts";
import { forwardPort } from "./port-forward.ts";
import { type KubeAttempt, type KubeIdentity, noNamespace, refusal, unreachable } from "./refusal.ts";
import { type KubeResource, pathOf } from "./resource.ts";

export interface ClusterOptions extends KubeconfigChoice {
  readonly host: KubeHost;
  /** Of one request, its repetitions included. Default 30 s. */
  readonly requestLimitMs?: number;
}

/** An object in JSON form, as the API server sent it. */
export type KubeObject = Readonly<Record<string, unknown>> & {
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly resourceVersion?: string;
    readonly ownerReferences?: readonly { readonly controller?: boolean }[];
    readonly deletionTimestamp?: string;
  };
};

export interface ServerFacts {
  /** `v1.36.1`. */
  readonly version: string;
  /** By its clock, to the second; undefined when it does not say. */
  readonly dateMs: number | undefined;
}

export interface ListOptions {
  /** `app=istiod`. */
  readonly labelSelector?: string;
}

/**
 * One API server, reached as kubectl would. Every method rejects with an AgentError that names what was wanted, the context
 * and what helps: KUBE_UNREACHABLE (also after the limit), KUBE_UNAUTHENTICATED, KUBE_FORBIDDEN with verb and resource,
 * KUBE_NOT_FOUND with near names, KUBE_CONFLICT, KUBE_REFUSED, KUBE_CREDENTIALS; or with the signal's reason.
 */
export interface Cluster {
  /** Its name in the kubeconfig; `in-cluster` in a pod. */
  readonly context: string;
  /** URL of the API server. */
  readonly server: string;
  /** Of the context; `default` when it has none. */
  readonly namespace: string;
  get(what: KubeResource, signal: AbortSignal): Promise<KubeObject>;
  list(what: KubeResource, options: ListOptions, signal: AbortSignal): Promise<readonly KubeObject[]>;
  create(what: KubeResource, body: unknown, signal: AbortSignal): Promise<KubeObject>;
  /**
   * Changes fields by a JSON merge patch (RFC 7386). With `metadata.resourceVersion` in it a change by somebody else in
   * between is KUBE_CONFLICT; so is the repetition of a patch whose answer was lost: then read what there is.
   */
  patch(what: KubeResource, fields: unknown, signal: AbortSignal): Promise<KubeObject>;
  /** What is not there any more is deleted. */
  delete(what: KubeResource, signal: AbortSignal): Promise<void>;
  /** What the API server says of itself to everybody who may log in. */
  about(signal: AbortSignal): Promise<ServerFacts>;
  /** Command of a credential plugin that runs now: requests wait for it. */
  waitsFor(): string | undefined;
  /**
   * A connection to a port of a pod: bytes of both directions, each with its own end. It is one connection to the API
   * server, so a reader that stops stops the pod's writer and nobody else. What the kubelet reports destroys it.
   */
  forward(
    pod: { readonly namespace: string; readonly name: string },
    port: number,
    signal: AbortSignal,
  ): Promise<Duplex>;
}

const REQUEST_LIMIT_MS = 30_000;

/**
 * Finds the cluster that kubectl would talk to; nothing is sent yet. Rejects with KUBECONFIG_INVALID or KUBECONFIG_MISSING. In a pod without a
 * kubeconfig it is the pod's own cluster.
 */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const { host, requestLimitMs = REQUEST_LIMIT_MS } = options;
  const context = (await readKubeContext(options, host)) ?? (await inClusterContext(host));
  if (context === undefined) {
    throw new AgentError("KUBECONFIG_MISSING", "Cannot find a cluster: there is no kubeconfig, and this is no pod", {
      hint: "Give --kubeconfig FILE, or set KUBECONFIG",
    });
  }
  return clusterOf(context, host, requestLimitMs);
}

function clusterOf(context: KubeContext, host: KubeHost, limitMs: number): Cluster {
  const { server, user, name, namespace = "default" } = context;
  const authenticator = createAuthenticator(user, server, host);
  const line: Line = { url: server.url, authenticator, dial: createDial(server, authenticator, host), limitMs };
  const who: KubeIdentity = { context: name, server: server.url, explain: authenticator.explain };
  const askFor = async (attempt: KubeAttempt, call: KubeCall): Promise<KubeAnswer> => {
    const answer = await send(line, call).catch((error: unknown) => {
      throw call.signal.aborted ? call.signal.reason : unreachable(attempt, error, who);
    });
    if (answer.status === 404) throw await notFound(attempt, answer, call.signal);
    if (answer.status < 200 || answer.status > 299) throw refusal(attempt, answer, who);
    return answer;
  };
  const ask = async (attempt: KubeAttempt, call: KubeCall): Promise<unknown> =>
    parse(attempt, (await askFor(attempt, call)).body, who);
  const namesNear = async (what: KubeResource, signal: AbortSignal): Promise<readonly string[]> => {
    const { name: wanted = "", apiVersion, resource, namespace } = what;
    if (resource === "secrets") return []; // a list of them has their contents
    const path = `${pathOf({ resource, namespace, ...(apiVersion && { apiVersion }) })}?limit=500`;
    const answer = await send(line, { method: "GET", path, signal }).catch(() => undefined); // it only helps
    return answer?.status === 200 ? nearNames(wanted, list(entryOf(parseJson(answer.body)).items).map(nameOf)) : [];
  };
  /** It may be the namespace that is not there; the API server does not say so. */
  const notFound = async (attempt: KubeAttempt, answer: KubeAnswer, signal: AbortSignal): Promise<AgentError> => {
    const { what } = attempt;
    const near = what.name === undefined ? [] : await namesNear(what, signal);
    if (near.length > 0 || what.namespace === undefined) return refusal(attempt, answer, who, near);
    const place = { resource: "namespaces", name: what.namespace };
    const found = await send(line, { method: "GET", path: pathOf(place), signal }).catch(() => undefined);
    if (found?.status !== 404) return refusal(attempt, answer, who);
    return noNamespace(attempt, what.namespace, await namesNear(place, signal), who);
  };
  return {
    context: name,
    server: server.url,
    namespace,
    get: async (what, signal) =>
      entryOf(await ask({ verb: "get", what }, { method: "GET", path: pathOf(what), signal })) as KubeObject,
    async list(what, { labelSelector }, signal) {
      const query = labelSelector === undefined ? "" : `?labelSelector=${encodeURIComponent(labelSelector)}`;
      const found = await ask({ verb: "list", what }, { method: "GET", path: `${pathOf(what)}${query}`, signal });
      return list(entryOf(found).items) as readonly KubeObject[];
    },
    create: async (what, body, signal) =>
      entryOf(await ask({ verb: "create", what }, { method: "POST", path: pathOf(what), body, signal })) as KubeObject,
    patch: async (what, fields, signal) =>
      entryOf(
        await ask({ verb: "patch", what }, { method: "PATCH", path: pathOf(what), body: fields, signal }),
      ) as KubeObject,
    async delete(what, signal) {
      await ask({ verb: "delete", what }, { method: "DELETE", path: pathOf(what), signal }).catch((error: unknown) => {
        if (!(error instanceof AgentError) || error.code !== "KUBE_NOT_FOUND") throw error;
      });
    },
    async about(signal) {
      const attempt = { verb: "get", what: { resource: "version" } } as const;
      const answer = await askFor(attempt, { method: "GET", path: "/version", signal });
      return { version: text(entryOf(parse(attempt, answer.body, who)).gitVersion) ?? "", dateMs: answer.dateMs };
    },
    waitsFor: () => authenticator.running(),
    forward: (pod, port, signal) => forwardPort({ line, who, pod, port }, signal),
  };
}

function nameOf(object: unknown): string {
  return text(entryOf(entryOf(object).metadata).name) ?? "";
}

function parse(attempt: KubeAttempt, body: string, who: KubeIdentity): unknown {
  const found = parseJson(body);
  if (typeof found === "object" && found !== null) return found;
  const error = new Error("what answers does not speak the Kubernetes API");
  throw unreachable(attempt, error, who);
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // whatever it is, it is no object of the API
  }
}
