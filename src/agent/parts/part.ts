import type { Lifetime, LogLine, MetricsRegistry, Timeline } from "../../base/index.ts";
import type { AgentConfig, LoadedConfig } from "../../config/index.ts";
import type { EnvoyEnd } from "../../envoy/supervisor/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { ReadinessBoard, ReadinessCheck, Route } from "../../status/index.ts";
import type { Intercept, PlaceListener, ResponseHook } from "../../xds/index.ts";
import type { PlannedPort } from "../ports/index.ts";
import type { ClaimedFolder } from "../run-folder/index.ts";
import type { Around } from "../start-envoy/index.ts";

/** What a run gets from around it, beside its configuration. */
export interface AgentContext extends Around {
  /** Reads the configuration once more, for a reload. Absent: a reload only renders and starts anew. */
  readonly readAgain?: () => Promise<LoadedConfig>;
  /** Where Envoy's listeners shall be. Absent: where the control plane wants them. */
  readonly placeListener?: PlaceListener | undefined;
}

/** Why the agent is done. */
export type AgentEnd =
  | { readonly kind: "asked"; readonly reason: string }
  | { readonly kind: "envoy"; readonly end: EnvoyEnd };

/** What all parts of one agent are made with. */
export interface Surroundings {
  readonly config: AgentConfig;
  readonly context: AgentContext;
  readonly metrics: MetricsRegistry;
  readonly timeline: Timeline;
  /** The last lines of the log since the start began, the newest last. */
  readonly recentLines: () => readonly LogLine[];
  /** What all parts together are going to listen on. */
  readonly ports: readonly PlannedPort[];
  /** Aborts when a stop is requested, or when the agent closes. */
  readonly stop: AbortSignal;
  /** Requests a stop, as a signal does. */
  quit(reason: string): void;
}

/** What there is to serve with, once everything is bound and Envoy boots. */
export interface Serving {
  /** What is served belongs to it, and closes last first. */
  readonly life: Lifetime;
  readonly node: NodeDescription;
  readonly readiness: ReadinessBoard;
}

/** What pages may show of the whole agent. */
export interface Shown {
  /** The report that `pilotboat status` shows. */
  report(): Promise<object>;
  readonly readiness: ReadinessBoard;
}

/**
 * One capability of the agent: it joins a room to the others. All of it is optional; the phases are those of
 * docs/architecture.md, "Start". Nothing loads a library before the spawn.
 */
export interface Part {
  /** Takes sockets and folders, and refuses what can be refused. All parts bind at the same time, what needs it after the run folder. */
  bind?(life: Lifetime, folder: Promise<ClaimedFolder>): Promise<void>;
  /** Everything is bound: starts processes. In the order of the parts. */
  spawn?(life: Lifetime): Promise<void>;
  /** What must be so before `/healthz/ready` says 200. Asked for once, before anything is served. */
  readiness?(node: NodeDescription): Promise<readonly ReadinessCheck[]>;
  /** Aborts when what readiness waits for may come at any moment; the boot is asked rarely until then. */
  readonly readySoon?: AbortSignal | undefined;
  /** Loads and serves; resolves when it answers. In the order of the parts. */
  serve?(serving: Serving): Promise<void>;
  /** Called once, when everything is ready for the first time. */
  noteReady?(): void;
  /** Settles when the part ended by itself, and the agent with it; undefined where it cannot. Never rejects. */
  ended?(): Promise<AgentEnd> | undefined;
  /** Drains what needs the other parts, while they still answer. The rest of the end is the lifetime's. Never rejects. */
  finish?(): Promise<void>;

  /** Pages of the status port. Asked for once, when that is served. */
  routes?(shown: Shown): Promise<readonly Route[]>;
  /** Lines below the answer of `/healthz/ready`. */
  notes?(): readonly string[];
  /** Its rows of the report that `pilotboat status` shows; JSON-ready. */
  report?(): object | Promise<object>;
  /** xDS types that the agent itself subscribes to, by type URL. */
  readonly intercepts?: Readonly<Record<string, Intercept>>;
  /** See responses on their way to Envoy. */
  readonly hooks?: readonly ResponseHook[];
  /**
   * What the part has made of a configuration for as long as it runs, by any names. A reload with another result is
   * refused, so what a reload can change is not in it.
   */
  lasting?(config: AgentConfig): Readonly<Record<string, unknown>>;
}
