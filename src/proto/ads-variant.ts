/**
 * The two forms of ADS: whole states (`GRPC`, SotW) and changes (`DELTA_GRPC`). They differ in the method's name and in
 * the field numbers of the few facts the relay looks at. Source: envoy/service/discovery/v3/discovery.proto.
 */
export interface Variant {
  readonly name: "sotw" | "delta";
  readonly method: string;
  readonly request: RequestFields;
  readonly response: ResponseFields;
}

interface RequestFields {
  /** Absent from delta requests. */
  readonly versionInfo: number | undefined;
  readonly node: number;
  /** All names that are subscribed to; in delta requests those that are added. */
  readonly names: number;
  /** Names that are no longer subscribed to; only delta requests have them. */
  readonly unsubscribe: number | undefined;
  readonly typeUrl: number;
  readonly nonce: number;
  readonly errorDetail: number;
  /** Names and versions that a client of a new delta stream has; absent from whole states. */
  readonly initialVersions: number | undefined;
}

interface ResponseFields {
  readonly versionInfo: number;
  readonly resources: number;
  readonly typeUrl: number;
  readonly nonce: number;
  /** Field of the `Any` inside a resource entry; undefined when the entry is the `Any` itself. */
  readonly anyInResource: number | undefined;
  /** Field of the name inside a resource entry; undefined when the entry is the `Any` itself. */
  readonly nameInResource: number | undefined;
  /** Names of resources that are gone; only delta responses have them. */
  readonly removed: number | undefined;
}

const SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService";

export const SOTW: Variant = {
  name: "sotw",
  method: `${SERVICE}/StreamAggregatedResources`,
  request: {
    versionInfo: 1,
    node: 2,
    names: 3,
    unsubscribe: undefined,
    typeUrl: 4,
    nonce: 5,
    errorDetail: 6,
    initialVersions: undefined,
  },
  response: {
    versionInfo: 1,
    resources: 2,
    typeUrl: 4,
    nonce: 5,
    anyInResource: undefined,
    nameInResource: undefined,
    removed: undefined,
  },
};

export const DELTA: Variant = {
  name: "delta",
  method: `${SERVICE}/DeltaAggregatedResources`,
  request: {
    versionInfo: undefined,
    node: 1,
    names: 3,
    unsubscribe: 4,
    typeUrl: 2,
    nonce: 6,
    errorDetail: 7,
    initialVersions: 5,
  },
  response: { versionInfo: 1, resources: 2, typeUrl: 4, nonce: 5, anyInResource: 2, nameInResource: 3, removed: 6 },
};
