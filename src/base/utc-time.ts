/** As far from 1970 as a date can be. Source: ECMA-262, "Time Values and Time Range". */
const FARTHEST_MS = 8.64e15;

/**
 * `2026-08-01T10:00:00Z` for milliseconds since the epoch that others have said: a number that no date can be is shown as
 * the nearest one, where `toISOString` throws; one that is none, as the epoch.
 */
export function utcTime(ms: number): string {
  const possible = Math.max(-FARTHEST_MS, Math.min(FARTHEST_MS, ms));
  return new Date(Number.isNaN(possible) ? 0 : possible).toISOString().replace(/\.\d+Z$/, "Z");
}
