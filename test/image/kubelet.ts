import { setTimeout as pause } from "node:timers/promises";
import type { Container, Handler, PodSpec, Probe } from "./pod-spec.ts";

// The calls of a kubelet to a pod, with the timings that the pod's spec has, or Kubernetes' defaults; none is scaled.
// Sources: kubernetes pkg/kubelet/prober/worker.go, kuberuntime/kuberuntime_container.go and
// kuberuntime_termination_order.go; api/core/v1 for the defaults.

export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningContainer {
  readonly ended: Promise<End>;
  /** Rejects when it fails. */
  exec(words: readonly string[]): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** What a kubelet asks for: the container runtime, and the pod's network. */
export interface PodHost {
  /** Resolves when its entrypoint runs. */
  start(container: Container): Promise<RunningContainer>;
  /** The status of an HTTP answer; 0 without one. */
  get(port: number, path: string, limitMs: number): Promise<number>;
}

/** What happened to a container, in order. */
export interface PodEvent {
  readonly container: string;
  readonly what:
    | "started"
    | "postStart"
    | "startup passed"
    | "ready"
    | "unready"
    | "preStop"
    | "SIGTERM"
    | "SIGKILL"
    | "ended";
  readonly atMs: number;
  readonly end?: End;
}

export interface PlayedPod {
  readonly events: readonly PodEvent[];
  /** Resolves when every container that has a readinessProbe is ready. */
  readonly ready: Promise<unknown>;
  /** Resolves when the containers that are no sidecars have ended; native sidecars are then stopped. */
  readonly completed: Promise<unknown>;
  /** Stops the pod as its deletion does. */
  terminate(): Promise<void>;
}

const DEFAULTS = {
  initialDelaySeconds: 0,
  periodSeconds: 10,
  timeoutSeconds: 1,
  successThreshold: 1,
  failureThreshold: 3,
} as const satisfies Required<Omit<Probe, keyof Handler>>;
const GRACE_SECONDS = 30;
/** What a container has between SIGTERM and SIGKILL, however late it is. */
const LEAST_GRACE_MS = 2_000;

interface Managed {
  readonly container: Container;
  readonly running: RunningContainer;
  readonly over: AbortSignal;
  readonly started: Promise<void>;
  readonly ready: Promise<void>;
}

/** Starts the pod. Resolves when all its containers are started; rejects when one cannot be. */
export async function playKubelet(spec: PodSpec, host: PodHost): Promise<PlayedPod> {
  const events: PodEvent[] = [];
  const note = (container: Container, what: PodEvent["what"], end?: End): void => {
    events.push({ container: container.name, what, atMs: performance.now(), ...(end && { end }) });
  };
  const sidecars: Managed[] = [];
  const mains: Managed[] = [];
  for (const container of spec.initContainers ?? []) {
    const managed = await startContainer(container, host, note);
    if (container.restartPolicy === "Always") {
      sidecars.push(managed);
      await managed.started;
    } else {
      const { code } = await managed.running.ended;
      if (code !== 0) throw new Error(`init container ${container.name} ended with ${code}`);
    }
  }
  for (const container of spec.containers) mains.push(await startContainer(container, host, note));
  const graceMs = (spec.terminationGracePeriodSeconds ?? GRACE_SECONDS) * 1_000;
  let stopping: Promise<void> | undefined;
  const terminate = (): Promise<void> => {
    stopping ??= stopPod({ mains, sidecars, graceMs }, host, note);
    return stopping;
  };
  const allOver = Promise.all(mains.map(({ running }) => running.ended));
  return {
    events,
    ready: Promise.all([...sidecars, ...mains].map((one) => one.ready)),
    completed: allOver.then(terminate),
    terminate,
  };
}

type Note = (container: Container, what: PodEvent["what"], end?: End) => void;

/** A hook after the start is waited for: until then nothing else of the pod starts. */
async function startContainer(container: Container, host: PodHost, note: Note): Promise<Managed> {
  const running = await host.start(container);
  note(container, "started");
  const over = new AbortController();
  void running.ended.then((end) => {
    note(container, "ended", end);
    over.abort();
  });
  const { postStart } = container.lifecycle ?? {};
  if (postStart !== undefined) {
    await handle(postStart, { running, host }, Number.POSITIVE_INFINITY);
    note(container, "postStart");
  }
  const { startupProbe, readinessProbe, livenessProbe } = container;
  const context = { running, host, over: over.signal };
  const started = (async () => {
    if (startupProbe === undefined) return;
    if (!(await settle(startupProbe, context))) throw failed(container, context, "startupProbe");
    note(container, "startup passed");
  })();
  started.catch(() => undefined);
  const ready = (async () => {
    await started;
    if (livenessProbe !== undefined) {
      void watch(livenessProbe, context, (isAlive) => isAlive || failed(container, context, "livenessProbe"));
    }
    if (readinessProbe === undefined) return;
    await new Promise<void>((done) => {
      void watch(readinessProbe, context, (isReady) => {
        note(container, isReady ? "ready" : "unready");
        if (isReady) done();
      });
    });
  })();
  ready.catch(() => undefined);
  return { container, running, over: over.signal, started, ready };
}

function failed(container: Container, { running, over }: Context, probe: string): Error {
  if (over.aborted) return new Error(`${container.name} ended before its ${probe} passed`);
  running.signal("SIGKILL");
  return new Error(`${probe} of ${container.name} failed`);
}

interface Context {
  readonly running: RunningContainer;
  readonly host: PodHost;
  readonly over: AbortSignal;
}

/** The first verdict of a probe. */
async function settle(probe: Probe, context: Context): Promise<boolean> {
  let verdict = false;
  const found = new AbortController();
  const over = AbortSignal.any([context.over, found.signal]);
  await watch(probe, { ...context, over }, (isGood) => {
    verdict = isGood;
    found.abort();
  });
  return verdict;
}

/** Asks once per period until the container is over; a verdict comes when the threshold is reached and it is a new one. */
async function watch(
  probe: Probe,
  { over, ...context }: Context,
  verdict: (isGood: boolean) => unknown,
): Promise<void> {
  const { initialDelaySeconds, periodSeconds, timeoutSeconds, successThreshold, failureThreshold } = {
    ...DEFAULTS,
    ...probe,
  };
  let last: boolean | undefined;
  let told: boolean | undefined;
  let inRow = 0;
  await wait(initialDelaySeconds * 1_000, over);
  while (!over.aborted) {
    const begunMs = performance.now();
    const isGood = await handle(probe, context, timeoutSeconds * 1_000).then(
      () => true,
      () => false,
    );
    if (over.aborted) return;
    inRow = isGood === last ? inRow + 1 : 1;
    last = isGood;
    if (inRow >= (isGood ? successThreshold : failureThreshold) && told !== isGood) {
      told = isGood;
      verdict(isGood);
    }
    await wait(periodSeconds * 1_000 - (performance.now() - begunMs), over);
  }
}

async function wait(ms: number, over: AbortSignal): Promise<void> {
  await pause(Math.max(0, ms), undefined, { signal: over }).catch(() => undefined);
}

async function handle(
  { httpGet, exec }: Handler,
  { running, host }: Pick<Context, "running" | "host">,
  limitMs: number,
): Promise<void> {
  if (exec !== undefined) return await running.exec(exec.command);
  if (httpGet === undefined) throw new Error("a handler that these tests do not know");
  const status = await host.get(httpGet.port, httpGet.path, Math.min(limitMs, GRACE_SECONDS * 1_000));
  if (status < 200 || status >= 400) throw new Error(`status ${status}`);
}

interface Stopping {
  readonly mains: readonly Managed[];
  /** In the order in which they were started. */
  readonly sidecars: readonly Managed[];
  readonly graceMs: number;
}

/** All hooks run at once. Then sidecars wait until everybody who was started after them has ended, or the grace is over. */
async function stopPod({ mains, sidecars, graceMs }: Stopping, host: PodHost, note: Note): Promise<void> {
  const deadline = performance.now() + graceMs;
  const stop = async (one: Managed, after: readonly Managed[]): Promise<void> => {
    if (one.over.aborted) return;
    const { preStop } = one.container.lifecycle ?? {};
    if (preStop !== undefined) {
      note(one.container, "preStop");
      await handle(preStop, { running: one.running, host }, graceMs).catch(() => undefined); // an event, and no more
    }
    const left = () => Math.max(0, deadline - performance.now());
    await Promise.race([Promise.all(after.map(({ running }) => running.ended)), wait(left(), one.over)]);
    if (one.over.aborted) return;
    note(one.container, "SIGTERM");
    one.running.signal("SIGTERM");
    await wait(Math.max(left(), LEAST_GRACE_MS), one.over);
    if (!one.over.aborted) {
      note(one.container, "SIGKILL");
      one.running.signal("SIGKILL");
    }
    await one.running.ended;
  };
  const all = [
    ...mains.map((one) => [one, []] as const),
    ...sidecars.map((one, at) => [one, [...mains, ...sidecars.slice(at + 1)]] as const),
  ];
  await Promise.all(all.map(([one, after]) => stop(one, after)));
}
