/** What the page shows of an agent, beside what Envoy itself says. A part of the report that `pilotboat status` shows. */
export interface AgentFacts {
  readonly version: string;
  readonly runtime: { readonly name: string; readonly version: string };
  readonly pid: number;
  /** Milliseconds since the epoch, as all such times. */
  readonly startedMs: number;
  readonly residentBytes: number;
  readonly node: string;
  readonly readiness: ReadinessFacts;
  readonly envoy: {
    readonly kind: string;
    readonly child?: { readonly pid: number; readonly epoch: number; readonly startedMs: number };
  };
  readonly history?: {
    readonly restarts: number;
    readonly lastCrash?: { readonly reason: string; readonly endedMs: number; readonly evidence?: string };
  };
  readonly envoyVersion?: string;
  readonly envoyResidentBytes?: number;
  readonly envoyAddresses?: { readonly admin: string };
  readonly controlPlane: { readonly address: string; readonly state: string };
  readonly xds: readonly XdsFacts[];
  readonly leftOut: readonly { readonly filter: string; readonly type: string; readonly lost: string }[];
  /** Only while Envoy has a configuration that the control plane has not confirmed since the agent gave it. */
  readonly stale?: { readonly acceptedMs: number; readonly sinceMs: number };
  readonly wasm?: readonly { readonly name: string; readonly error?: string; readonly consequence?: string }[];
  readonly identity?: IdentityFacts | undefined;
}

export interface ReadinessFacts {
  readonly ready: boolean;
  /** ISO 8601. */
  readonly since: string;
  readonly reason?: string;
  readonly causes: readonly { readonly kind: string; readonly text: string; readonly waitedMs?: number }[];
}

/** One type of resources. */
export interface XdsFacts {
  readonly name: string;
  readonly typeUrl: string;
  readonly state: string;
  readonly version?: string;
  readonly syncedMs?: number;
  readonly resources: number;
  readonly rejection?: { readonly version?: string; readonly resource?: string; readonly text: string };
}

export interface IdentityFacts {
  readonly certificate?:
    | {
        readonly source: string;
        readonly subjectAltName: string;
        readonly issuer: string;
        readonly serialNumber: string;
        readonly notBeforeMs: number;
        readonly notAfterMs: number;
      }
    | undefined;
  readonly nextRotationMs?: number | undefined;
  readonly token?: { readonly kind: string; readonly expiresAtMs?: number };
  readonly troubles: readonly { readonly text: string }[];
}
