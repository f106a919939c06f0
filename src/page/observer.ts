import { type Clock, describeError, pause, systemClock } from "../base/index.ts";
import { History } from "./model/history.ts";
import { readTopology, type Topology } from "./model/read-topology.ts";
import {
  CLUSTERS_PATH,
  readServerFigures,
  readTraffic,
  type ServerFigures,
  STATS_PATH,
  type Traffic,
} from "./model/read-traffic.ts";
import type { View } from "./model/view.ts";

/** Asks Envoy's admin. Rejects when it cannot be reached or does not answer within `timeoutMs`. */
export type AdminGet = (path: string, timeoutMs: number) => Promise<string>;

const SAMPLE_EVERY_MS = 2_000;
const DUMP_EVERY_MS = 10_000;
/** An answer that takes long is asked for so rarely that it costs Envoy and us no more than a twentieth of the time. */
const REST = 20;
/** After the last look: long enough for a page without JavaScript, which loads itself again every five seconds. */
const LINGER_MS = 15_000;
const ASK_LIMIT_MS = 4_000;
/** How long a first look waits for something to show. */
const FIRST_LIMIT_MS = 1_000;

/** Samples Envoy's admin while somebody looks. When nobody does, nothing is asked and nothing is kept. */
export class Observer {
  readonly #get: AdminGet;
  readonly #over: AbortSignal;
  readonly #clock: Clock;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #session: Session | undefined;

  constructor(get: AdminGet, over: AbortSignal, clock: Clock = systemClock) {
    this.#get = get;
    this.#over = over;
    this.#clock = clock;
  }

  /** Counts as a look. The first one waits a moment for Envoy. Never rejects. */
  async look(): Promise<View> {
    this.#lookedMs = this.#clock.now();
    if (this.#session === undefined) {
      this.#session = new Session(this.#get);
      void this.#run(this.#session);
    }
    const session = this.#session;
    if (!session.hasSampled) {
      const first = new AbortController();
      await Promise.race([session.first, pause(FIRST_LIMIT_MS, first.signal, this.#clock)]);
      first.abort();
    }
    return session;
  }

  async #run(session: Session): Promise<void> {
    while (!this.#over.aborted && this.#clock.now() - this.#lookedMs < LINGER_MS) {
      await pause(await this.#sample(session), this.#over, this.#clock);
    }
    this.#session = undefined;
  }

  /** Resolves with how long to rest. Silence costs Envoy nothing, and the configuration has a rest of its own. */
  async #sample(session: Session): Promise<number> {
    const startedMs = this.#clock.now();
    const isAnswered = await session.sample(startedMs);
    const tookMs = this.#clock.now() - startedMs;
    await session.refreshTopology(startedMs);
    if (!isAnswered) return SAMPLE_EVERY_MS;
    return Math.min(Math.max(SAMPLE_EVERY_MS - tookMs, tookMs * REST), LINGER_MS);
  }
}

/** From the first look to the last. */
class Session implements View {
  readonly #get: AdminGet;
  readonly history = new History();
  readonly first: Promise<void>;
  readonly #noteFirst: () => void;
  topology: Topology | undefined;
  traffic: Traffic | undefined;
  server: ServerFigures | undefined;
  hasSampled = false;
  #stats: unknown;
  #sampleProblem: string | undefined;
  #isReading = false;
  #isChanged = false;
  #dumpAtMs = Number.NEGATIVE_INFINITY;
  #dumpProblem: string | undefined;

  constructor(get: AdminGet) {
    this.#get = get;
    let note = (): void => undefined;
    this.first = new Promise((resolve) => {
      note = resolve;
    });
    this.#noteFirst = note;
  }

  get problem(): string | undefined {
    return this.#sampleProblem ?? this.#dumpProblem;
  }

  /** Resolves with whether Envoy gave both answers. Never rejects: a failure is the problem of the view. */
  async sample(nowMs: number): Promise<boolean> {
    const [clusters, stats] = await Promise.allSettled([this.#ask(CLUSTERS_PATH), this.#ask(STATS_PATH)]);
    if (stats.status === "fulfilled") {
      const server = readServerFigures(stats.value);
      this.#isChanged ||= server.configuredAt !== this.server?.configuredAt;
      this.server = server;
      this.#stats = stats.value;
    }
    if (clusters.status === "fulfilled") {
      this.traffic = readTraffic(clusters.value, this.#stats);
      if (this.#stats !== undefined) this.history.add(nowMs, this.traffic); // else all latencies since Envoy's start would follow
    }
    const failed = [clusters, stats].find((one) => one.status === "rejected");
    this.#sampleProblem = failed === undefined ? undefined : describeError(failed.reason);
    return failed === undefined;
  }

  /** Waits for the first configuration only: later ones come beside the samples. Never rejects. */
  async refreshTopology(nowMs: number): Promise<void> {
    const isFirst = !this.hasSampled;
    if (!this.#isReading && (this.#isChanged || nowMs >= this.#dumpAtMs)) {
      const reading = this.#readTopology(nowMs);
      if (isFirst) await reading;
    }
    this.hasSampled = true;
    this.#noteFirst();
  }

  async #readTopology(nowMs: number): Promise<void> {
    this.#isReading = true;
    this.#isChanged = false;
    const startedMs = performance.now();
    try {
      this.topology = readTopology(await this.#ask("/config_dump"));
      this.#dumpProblem = undefined;
    } catch (error) {
      this.#dumpProblem = `Cannot read Envoy's configuration: ${describeError(error)}`;
    }
    const tookMs = performance.now() - startedMs;
    this.#dumpAtMs = nowMs + Math.max(DUMP_EVERY_MS, tookMs * REST);
    this.#isReading = false;
  }

  async #ask(path: string): Promise<unknown> {
    return JSON.parse(await this.#get(path, ASK_LIMIT_MS));
  }
}
