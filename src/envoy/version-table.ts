/** What differs between Envoy versions, as far as this agent drives it. */
export interface EnvoyFeatures {
  /** `--file-flush-min-size-kb`. */
  readonly hasFileFlushMinSize: boolean;
  /** `--socket-path`, with which the epochs of a hot restart meet where others cannot. */
  readonly hasSocketPath: boolean;
  /** `graceful` with `inboundonly` leaves connections alone that go out; before, Envoy closed them as well. */
  readonly hasInboundDrain: boolean;
  /** `graceful` with `skip_exit` lets listeners accept after the drain time; before, they closed at its end. */
  readonly hasOpenDrain: boolean;
}

interface Row {
  /** First minor version, as `major * 1000 + minor`. */
  readonly since: number;
  readonly features: Partial<EnvoyFeatures>;
}

/**
 * Later rows lie over earlier ones. Found by trying 1.36.4, 1.37.0, 1.38.3, 1.39.3 and 1.40.0; what is older comes from
 * envoyproxy/envoy pull requests 30003 (`skip_exit`, 1.29) and 37873 (`inboundonly` with `graceful`, 1.34).
 */
const TABLE: readonly Row[] = [
  {
    since: 0,
    features: { hasFileFlushMinSize: false, hasSocketPath: false, hasInboundDrain: false, hasOpenDrain: false },
  },
  { since: 1_017, features: { hasSocketPath: true } },
  { since: 1_029, features: { hasOpenDrain: true } },
  { since: 1_034, features: { hasInboundDrain: true } },
  { since: 1_037, features: { hasFileFlushMinSize: true } },
];

/** Features of a version such as `1.38.3`; undefined (unknown) counts as the newest. */
export function featuresOf(version: string | undefined): EnvoyFeatures {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  const number = major === undefined ? Number.POSITIVE_INFINITY : Number(major) * 1_000 + Number(minor);
  const rows = TABLE.filter(({ since }) => since <= number);
  return Object.assign({}, ...rows.map(({ features }) => features)) as EnvoyFeatures;
}

export interface DrainWish {
  /** Only listeners whose `traffic_direction` is INBOUND. */
  readonly isInboundOnly: boolean;
  /** Listeners accept until Envoy is ended; otherwise they close when `--drain-time-s` is over. */
  readonly keepsAccepting: boolean;
}

/**
 * The call that begins a drain, and what this Envoy will not do of it, one line each. In no version does a drain end
 * Envoy, whatever the name `skip_exit` says. Since 1.40 `skip_exit` is also a mode of its own; before, it is refused
 * without `graceful`, so both are sent, which every version takes in the same sense.
 */
export function drainCall(wish: DrainWish, features: EnvoyFeatures): { path: string; warnings: readonly string[] } {
  const words = [
    ...(wish.isInboundOnly ? ["inboundonly"] : []),
    "graceful",
    ...(wish.keepsAccepting ? ["skip_exit"] : []),
  ];
  const warnings = [
    ...(wish.isInboundOnly && !features.hasInboundDrain
      ? ["This Envoy drains outbound connections together with inbound ones"]
      : []),
    ...(wish.keepsAccepting && !features.hasOpenDrain
      ? ["This Envoy closes its listeners when the drain time is over"]
      : []),
  ];
  return { path: `/drain_listeners?${words.join("&")}`, warnings };
}
