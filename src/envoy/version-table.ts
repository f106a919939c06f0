/** What differs between Envoy versions, as far as this agent drives it. */
export interface EnvoyFeatures {
  /** `--file-flush-min-size-kb`. */
  readonly hasFileFlushMinSize: boolean;
}

interface Row {
  /** First minor version, as `major * 1000 + minor`. */
  readonly since: number;
  readonly features: Partial<EnvoyFeatures>;
}

/** Found by trying Envoy 1.36.4, 1.38.3 and 1.40.0; each row is tested against them. Later rows lie over earlier ones. */
const TABLE: readonly Row[] = [
  { since: 0, features: { hasFileFlushMinSize: false } },
  { since: 1_038, features: { hasFileFlushMinSize: true } },
];

/** Features of a version such as `1.38.3`; undefined (unknown) counts as the newest. */
export function featuresOf(version: string | undefined): EnvoyFeatures {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  const number = major === undefined ? Number.POSITIVE_INFINITY : Number(major) * 1_000 + Number(minor);
  const rows = TABLE.filter(({ since }) => since <= number);
  return Object.assign({}, ...rows.map(({ features }) => features)) as EnvoyFeatures;
}
