/// <reference types="node" preserve="true" />

// What the library takes and gives, in words of its own: a declaration that named a room would drag the types of every
// bundled package into the projects of others, who do not have them. src/index.ts holds these against the rooms.

/** A mesh of one; everything has a default. */
export interface MeshChoices {
  /** Folder with YAML files of Envoy resources. Default: the built-in quickstart. */
  readonly resources?: string;
  /** What `${NAME}` in the files stands for, beside OUTBOUND_PORT, INBOUND_PORT, APP_PORT, NAMESPACE, SERVICE_ACCOUNT. */
  readonly values?: Readonly<Record<string, string>>;
  /** Port of the listener `outbound`. Default: a free one. */
  readonly port?: number;
  /** Port of a service of your own on 127.0.0.1, which the inbound side leads to. Default: an example service is started. */
  readonly appPort?: number;
  /** Default `default`. */
  readonly namespace?: string;
  /** Default `quickstart`. */
  readonly serviceAccount?: string;
  /** Path of an Envoy. Default: ENVOY_BIN, PATH, the cache, else it is fetched. */
  readonly envoy?: string;
  /** The required version of Envoy, found or fetched: `1.38.3`, or `istio-1.31.0` for Istio's own. Default: PILOTBOAT_ENVOY_VERSION. */
  readonly envoyVersion?: string;
  /** Fields of the agent's ProxyConfig, laid over those that this mesh needs. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** Variables for the agent, laid over those of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface SidecarOptions extends MeshChoices {
  /** Takes the log lines of the agent. Without it, the library prints the first fetch of Envoy on stderr, and nothing else. */
  readonly onLog?: (line: string) => void;
  /** Gives up the start, and ends what runs. */
  readonly signal?: AbortSignal;
}

/** A real Envoy with a certificate, taking requests. */
export interface Sidecar extends AsyncDisposable {
  /** `http://127.0.0.1:port` of the listener `outbound`. */
  readonly url: string;
  readonly adminUrl: string;
  /** Port of the listener `inbound`, which takes mutual TLS only. */
  readonly inboundPort: number;
  /** Of `/healthz/ready`. */
  readonly statusUrl: string;
  readonly controlPlane: ControlPlane;
  readonly envoyPid: number | undefined;
  /** The run folder, removed at the end. */
  readonly folder: string;
}

export interface LibraryControlPlaneOptions {
  /** Folder with YAML files of Envoy resources; it is watched. */
  readonly resources: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0, a free one. */
  readonly port?: number;
  /** Default cluster.local. */
  readonly trustDomain?: string;
  /** What `${NAME}` in the files stands for; TRUST_DOMAIN is there already. */
  readonly values?: Readonly<Record<string, string>>;
  /** Folder that keeps root and token key; may be one of Istio's `cacerts`. Default: new ones in memory. */
  readonly caFolder?: string;
  /** Lifetime of certificates whose request names none. Default 24 hours. */
  readonly defaultTtlMs?: number;
  /** Takes the log lines. Default: none are written. */
  readonly onLog?: (line: string) => void;
  /** Gives up the start. */
  readonly signal?: AbortSignal;
}

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
  /** How many resources are served now, by the names of the lists in a document: `clusters`, `listeners`, `names`. */
  resourceCounts(): Readonly<Record<string, number>>;
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

/** Things that go wrong with a real control plane, on demand. */
export interface Faults {
  /** Answers no request for that type until it is called with false, which sends what is owed. Default true. */
  withhold(typeUrl: string, isWithheld?: boolean): void;
  /** Sends an unreadable resource of that type; Envoy refuses it. */
  sendBroken(typeUrl: string): void;
  /** Lifetime of new certificates, whatever a request asks for; undefined ends the fault. */
  shortenCertificates(ttlMs: number | undefined): void;
}

/** The workload that a token speaks for. */
export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A token. It prints itself as hidden in templates, JSON, `console.log` and errors. */
export interface Secret {
  /** The bytes themselves. */
  reveal(): Buffer;
  /** The bytes as UTF-8 text. */
  revealText(): string;
}

export interface RootRotation {
  /**
   * True: old and new root are trusted side by side, and the server keeps its certificate, so that clients with the old
   * root can still connect. False: the old root is dropped at once.
   */
  readonly isOverlapping: boolean;
}

/** A configuration that an Envoy refused. */
export interface Rejection {
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly message: string;
}

/** An agent's report on its workload; `error` is empty while the workload is healthy. */
export interface HealthReport {
  readonly nodeId: string;
  readonly error: string;
}
