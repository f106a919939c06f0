import type { Timeline } from "../base/index.ts";
import type { IdentityStatus } from "../identity/index.ts";
import type { NodeDescription } from "../node/index.ts";
import type { Readiness } from "../status/index.ts";
import type { AgentEnd } from "./parts/index.ts";

/**
 * An agent whose Envoy was spawned. Disposing it drains and ends Envoy, then closes everything else. Disposing never
 * rejects: a part that cannot be closed is a warning in the log.
 */
export interface RunningAgent extends AsyncDisposable {
  /** Settles once: a signal, `/quitquitquit`, or Envoy's own end. Never rejects. */
  readonly ended: Promise<AgentEnd>;
  /** Resolves when `/healthz/ready` would say 200; rejects when the agent ends before. */
  readonly ready: Promise<void>;
  /** Why `/healthz/ready` would say 503 now; undefined when it would not. */
  whyNotReady(): Promise<string | undefined>;
  /** Calls `listener` at every change of the answer of `/healthz/ready`. Gives the function that ends it. */
  watchReadiness(listener: (readiness: Readiness) => void): () => void;
  readonly node: NodeDescription;
  /** Undefined where the status port is 0: then there is no status server. */
  readonly statusPort: number | undefined;
  readonly timeline: Timeline;
  envoyPid(): number | undefined;
  /** `POST /drain`: Envoy drains and runs on; disposal then ends it without waiting. */
  drain(): Promise<void>;
  /** Disposal then ends Envoy without waiting, whatever state it is in. Its clients are gone. */
  skipDrain(): void;
  identity(): IdentityStatus | undefined;
  /** What disposal has not closed yet, by the names of its parts, the next one to close first. */
  stillOpen(): readonly string[];
}
