import type { Socket } from "node:net";
import { type Duplex, pipeline } from "node:stream";
import { AgentError, describeError, type Logger, pause, startLimit, systemClock } from "../../base/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import { ISTIO_NAMESPACE } from "./cluster-credentials.ts";
import { type IstiodPod, readyIstiods, xdsPortOf } from "./istiod-pods.ts";
import { presentedNames } from "./presented-names.ts";
import { serveForward } from "./serve-forward.ts";

export interface IstiodForwardOptions {
  readonly cluster: Cluster;
  /** Default `istio-system`. */
  readonly istioNamespace?: string;
  /** Default: `default`, or the only one there is. */
  readonly revision?: string | undefined;
  /** On 127.0.0.1. Default 0: a free one. */
  readonly port?: number;
  readonly log: Logger;
}

/** A port of this machine behind which a ready istiod answers, whichever pod that is. */
export interface IstiodForward extends AsyncDisposable {
  /** On 127.0.0.1. An agent names it `localhost:PORT`, from which it concludes istiod's name in `istio-system`. */
  readonly port: number;
  /** What ISTIOD_SAN has to be: a name that this istiod's certificate has. */
  readonly istiodSan: string;
  readonly revision: string;
  /** The pod to which the next connection goes. */
  pod(): string;
}

/** A connection waits so long for a pod; its client tries again by itself. */
const PATIENCE_MS = 10_000;
/** Of one pod: a request may hang where a node is gone, and others are ready. */
const TRY_LIMIT_MS = 3_000;
const RETRY_MS = 250;

/**
 * Opens the port once an istiod has answered through the API server. Each connection gets a way of its own to a pod; when
 * the pod is gone its connections end, the agent opens new ones, and those go to another pod that is ready. Rejects with what
 * `readyIstiods` rejects with, KUBE_UNREACHABLE, or ADDRESS_IN_USE.
 */
export async function forwardIstiod(options: IstiodForwardOptions, stop: AbortSignal): Promise<IstiodForward> {
  const { istioNamespace = ISTIO_NAMESPACE } = options;
  const choice = { ...options, istioNamespace };
  const pods = shuffled(await readyIstiods(options.cluster, choice, stop));
  const { first, podPort, istiodSan } = await firstThatAnswers(pods, options, stop);
  const route = new Route(choice, first, podPort);
  const served = await serveForward(options.port ?? 0, (socket, gone) => carry(route, socket, gone));
  return {
    port: served.port,
    istiodSan,
    revision: first.revision,
    pod: () => route.pod.name,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

/** One pod after the other. Rejects with the last failure, or at once with one that every pod would share. */
async function firstThatAnswers(pods: readonly IstiodPod[], { cluster, log }: IstiodForwardOptions, stop: AbortSignal) {
  let podPort: number | undefined;
  let last: unknown = new AgentError("INTERNAL", "Cannot choose an istiod of none");
  for (const first of pods) {
    podPort ??= await xdsPortOf(cluster, first, stop); // the Service is the same
    const port = podPort;
    try {
      const san = (signal: AbortSignal) =>
        cluster.forward(first, port, signal).then((way) => nameOf(way, first, log, signal));
      return { first, podPort, istiodSan: await withinTry(cluster, first, san, stop) };
    } catch (error) {
      stop.throwIfAborted();
      if (isFinal(error)) throw error;
      last = error;
    }
  }
  throw last;
}

/** Rejects with KUBE_UNREACHABLE after 3 s: another pod may answer. */
async function withinTry<T>(
  { context }: Cluster,
  { name }: IstiodPod,
  ask: (signal: AbortSignal) => Promise<T>,
  stop: AbortSignal,
): Promise<T> {
  const text = `Cannot reach istiod's pod "${name}" through context "${context}": no answer within ${TRY_LIMIT_MS / 1_000} s`;
  using limit = startLimit(stop, TRY_LIMIT_MS, () => new AgentError("KUBE_UNREACHABLE", text));
  return await ask(limit.signal);
}

/** One connection of a client, to its end. Never rejects. */
async function carry(route: Route, socket: Socket, gone: AbortSignal): Promise<void> {
  try {
    const { stream, pod } = await route.open(gone);
    await new Promise<void>((done) => {
      pipeline(socket, stream, socket, () => {
        if (stream.errored && !gone.aborted) route.lost(pod, stream.errored);
        done();
      });
    });
  } catch (error) {
    if (!gone.aborted) route.refused(error);
  }
  socket.destroy();
}

type RouteOptions = IstiodForwardOptions & { readonly istioNamespace: string };

/** Which pod is the one. It stays the same as long as it answers: the CA and xDS then see one client. */
class Route {
  pod: IstiodPod;
  readonly #options: RouteOptions;
  #podPort: number;
  /** Why the pod is not to be used any more. */
  #trouble: string | undefined;
  /** Pods that did not answer since one has. */
  readonly #silent = new Set<string>();
  #choosing: Promise<void> | undefined;
  #wasRefused = false;

  constructor(options: RouteOptions, pod: IstiodPod, podPort: number) {
    this.#options = options;
    this.pod = pod;
    this.#podPort = podPort;
  }

  /** Tries until a pod answers, for 10 s. Rejects with the last failure. */
  async open(signal: AbortSignal): Promise<{ readonly stream: Duplex; readonly pod: IstiodPod }> {
    const untilMs = systemClock.now() + PATIENCE_MS;
    for (;;) {
      try {
        if (this.#trouble !== undefined) await this.#choose(signal);
        const { pod } = this;
        const { cluster } = this.#options;
        const way = (limited: AbortSignal) => cluster.forward(pod, this.#podPort, limited);
        const stream = await withinTry(cluster, pod, way, signal);
        this.#answered();
        return { stream, pod };
      } catch (error) {
        signal.throwIfAborted();
        this.#trouble ??= describeError(error);
        this.#silent.add(this.pod.name);
        if (systemClock.now() >= untilMs || isFinal(error)) throw error;
        await pause(RETRY_MS, signal);
      }
    }
  }

  /** A way to that pod has ended with a failure: the next connection looks who is ready. */
  lost(pod: IstiodPod, error: Error): void {
    if (this.pod.name === pod.name) this.#trouble ??= describeError(error);
  }

  /** A client was sent away. Told once, until it works again. */
  refused(error: unknown): void {
    if (!this.#wasRefused) this.#options.log.warn("Cannot reach an istiod", { error: describeError(error) });
    this.#wasRefused = true;
  }

  #answered(): void {
    if (this.#wasRefused) this.#options.log.info("istiod is reached again", { pod: this.pod.name });
    this.#wasRefused = false;
    this.#silent.clear();
  }

  /** One look for all connections that wait. */
  #choose(signal: AbortSignal): Promise<void> {
    this.#choosing ??= this.#chooseNow(signal).finally(() => {
      this.#choosing = undefined;
    });
    return this.#choosing;
  }

  async #chooseNow(signal: AbortSignal): Promise<void> {
    const { cluster, log, istioNamespace } = this.#options;
    const { name, revision } = this.pod;
    const ready = shuffled(await readyIstiods(cluster, { istioNamespace, revision }, signal));
    if (ready.every((pod) => this.#silent.has(pod.name))) this.#silent.clear();
    const next = ready.find((pod) => pod.name !== name && !this.#silent.has(pod.name)) ?? ready[0];
    if (next === undefined) return;
    this.#podPort = await xdsPortOf(cluster, next, signal);
    if (next.name !== name)
      log.info("Another istiod is used now", { pod: next.name, before: name, reason: this.#trouble });
    this.pod = next;
    this.#trouble = undefined;
  }
}

/** What time does not mend. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof AgentError && ["KUBE_UNAUTHENTICATED", "KUBE_FORBIDDEN", "KUBE_CREDENTIALS"].includes(error.code)
  );
}

/** The namespace's name is right for every revision; a certificate without it was given by hand. */
async function nameOf(stream: Duplex, pod: IstiodPod, log: Logger, stop: AbortSignal): Promise<string> {
  const usual = `istiod.${pod.namespace}.svc`;
  const names = await presentedNames(stream, usual, stop).catch((error: unknown) => {
    const text = `Cannot use istiod's pod "${pod.name}": it does not speak TLS: ${describeError(error)}`;
    throw stop.aborted ? stop.reason : new AgentError("KUBE_UNREACHABLE", text, { cause: error });
  });
  if (names.includes(usual)) return usual;
  const other = names.find((name) => name.endsWith(".svc")) ?? names[0] ?? usual;
  log.warn("istiod's certificate does not have its usual name", { usual, found: names.join(", ") });
  return other;
}

/** So that not every laptop takes the first pod. */
function shuffled<T>(values: readonly T[]): readonly T[] {
  return values
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}
