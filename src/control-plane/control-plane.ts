import type { Logger, Secret } from "../base/index.ts";
import type { HealthReport, Rejection } from "./ads/client-notes.ts";
import type { ListenerPlace, ResourceCounts } from "./ads/snapshot.ts";
import type { RootRotation } from "./ca/signing.ts";
import type { TokenSettings, Workload } from "./callers/tokens.ts";
import type { Faults } from "./faults.ts";

export interface ControlPlaneOptions {
  /** Folder with YAML files of Envoy resources; it is watched. */
  readonly resources: string;
  /** `resources` is a file of `pilotboat xds record` instead. Default false. */
  readonly isRecording?: boolean;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0, a free one. */
  readonly port?: number;
  /**
   * Port of 127.0.0.1 at which ADS is served without TLS to everybody on this machine, all but secrets, as istiod does on 15010; 0 for
   * a free one. Default: none.
   */
  readonly plaintextPort?: number;
  /** Port of 127.0.0.1 for the debug endpoints over HTTP; 0 for a free one. Default: none. */
  readonly debugPort?: number;
  /** Default cluster.local. */
  readonly trustDomain?: string;
  /** What `${NAME}` in the files stands for; TRUST_DOMAIN is there already. */
  readonly values?: Readonly<Record<string, string>>;
  /** Lifetime of certificates whose request names none. Default 24 hours. */
  readonly defaultTtlMs?: number;
  /** Folder that keeps root and token key; may be one of Istio's `cacerts`. Default: new ones in memory. */
  readonly caFolder?: string;
  /** Issuer and audience of tokens. */
  readonly tokens?: TokenSettings;
  readonly log: Logger;
  /** Called when the folder was read, could not be read, or an Envoy refused it. */
  readonly onNews?: (news: ControlPlaneNews) => void;
}

/** The folder was read, at the start or again, or could not be, or an Envoy refused what was read. */
export type ControlPlaneNews =
  | {
      readonly kind: "read";
      readonly isAgain: boolean;
      readonly listeners: readonly ListenerPlace[];
      /** Of the name table: the short one of each host, where it has one. */
      readonly names: readonly string[];
    }
  | { readonly kind: "not read"; readonly error: unknown }
  | { readonly kind: "refused"; readonly rejection: Rejection };

/** A running development control plane: CA and ADS on one TLS port. */
export interface ControlPlane extends AsyncDisposable {
  /** `host:port` as really bound. */
  readonly address: string;
  readonly port: number;
  /** PEM of the root that signed the server's certificate and signs the workloads'; several while roots change. */
  readonly rootPem: string;
  /** Ways to misbehave, for tests of what connects. */
  readonly faults: Faults;
  /** A token that proves a workload to this control plane. Default lifetime 12 hours. */
  mintToken(workload: Workload, ttlMs?: number): Promise<Secret>;
  /** Reads the folder again. Rejects with RESOURCES_INVALID and keeps what was served. */
  reload(): Promise<void>;
  /**
   * Serves these YAML documents until the folder is read again, which a change in it causes. Throws RESOURCES_INVALID
   * and keeps what was served.
   */
  setResources(yaml: string): void;
  /** How many resources are served now. */
  resourceCounts(): ResourceCounts;
  /** Signs with a new root from now on; open streams stay. */
  rotateRoot(rotation: RootRotation): Promise<void>;
  /** Node ids of the open streams. */
  connected(): readonly string[];
  /** The latest configurations that an Envoy refused, newest last. */
  rejections(): readonly Rejection[];
  /** The latest reports of agents on their workload, newest last. */
  healthReports(): readonly HealthReport[];
  /** Ends every stream, as istiod does at its connection age. */
  closeStreams(): void;
}

/** With the addresses at which it can be looked into; undefined where nobody asked for them. */
export interface OpenControlPlane extends ControlPlane {
  /** `host:port` of ADS without TLS. */
  readonly plaintextAddress: string | undefined;
  /** `host:port` of the debug endpoints. */
  readonly debugAddress: string | undefined;
}
