/** What the page shows of an agent, beside what Envoy itself says. A part of the report that `pilotboat status` shows. */
export interface AgentFacts {
  readonly version: string;
  readonly pid: number;
  readonly node: string;
  readonly envoy: {
    readonly kind: string;
    readonly child?: { readonly pid: number; readonly epoch: number; readonly startedMs: number };
  };
  readonly history?: {
    readonly restarts: number;
    readonly lastCrash?: { readonly reason: string; readonly endedMs: number; readonly evidence?: string };
  };
  readonly envoyAddresses?: { readonly admin: string };
  readonly controlPlane: { readonly address: string; readonly state: string };
  readonly leftOut: readonly { readonly filter: string; readonly type: string; readonly lost: string }[];
  readonly substitutedWasm: readonly { readonly name: string; readonly consequence: string }[];
  readonly identity?: IdentityFacts | undefined;
  readonly timeline: Readonly<Record<string, number>>;
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
  readonly troubles: readonly string[];
}

export type Readiness = { readonly isReady: true } | { readonly isReady: false; readonly reason: string };

export interface LogLine {
  readonly timeMs: number;
  readonly level: string;
  readonly scope: string;
  readonly text: string;
}
