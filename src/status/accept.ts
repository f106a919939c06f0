const PLAIN_TEXT = "text/plain;version=0.0.4";

interface MediaType {
  readonly type: string;
  /** Sorted by name, without `q`. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** The `Accept` header for Envoy, which has no other form than text. */
export function acceptForEnvoy(incoming: string | undefined): string {
  return acceptOf(incoming, textForm);
}

/** The same for the application, which may answer in OpenMetrics. */
export function acceptForApplication(incoming: string | undefined): string {
  return acceptOf(incoming, (item) => (isOpenMetrics(item) ? [item] : textOrOpenMetrics(item)));
}

/**
 * Of what the scraper takes, only the forms that fit, in the scraper's order, best first. Falls back to plain text when
 * nothing fits or the header cannot be read. Source: istio/istio pilot/cmd/pilot-agent/status/metrics.go.
 */
function acceptOf(incoming: string | undefined, formsOf: (item: MediaType) => MediaType[]): string {
  const items = (incoming ?? "").split(",").map(parseMediaType);
  if (items.some((item) => item === undefined)) return PLAIN_TEXT;
  const wanted = items.flatMap((item) => (item === undefined ? [] : formsOf(item)));
  const distinct = wanted.filter((item, at) => wanted.findIndex((one) => format(one) === format(item)) === at);
  if (distinct.length === 0) return PLAIN_TEXT;
  return distinct.map((item, at) => format(item, weight(at, distinct.length))).join(",");
}

function isOpenMetrics({ type }: MediaType): boolean {
  return type === "application/openmetrics-text";
}

/** `application/*` becomes OpenMetrics. */
function textOrOpenMetrics(item: MediaType): MediaType[] {
  if (item.type !== "application/*") return textForm(item);
  return [{ type: "application/openmetrics-text", parameters: [["version", "0.0.1"]] }];
}

/** `*` becomes plain text; what is not text is dropped. */
function textForm(item: MediaType): MediaType[] {
  if (item.type === "*/*" || item.type === "*") return [{ type: "text/plain", parameters: [["version", "0.0.4"]] }];
  return item.type === "text/*" || item.type === "text/plain" ? [item] : [];
}

function parseMediaType(text: string): MediaType | undefined {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  if (!/^(\*|[\w!#$&^.+*-]+\/[\w!#$&^.+*-]+)$/.test(type)) return undefined;
  const parameters: (readonly [string, string])[] = [];
  for (const part of rest) {
    const [, name, value] = /^([\w-]+)\s*=\s*"?([^"]*)"?$/.exec(part) ?? [];
    if (name === undefined || value === undefined) return undefined;
    if (name.toLowerCase() !== "q") parameters.push([name.toLowerCase(), value]);
  }
  return { type: type.toLowerCase(), parameters: parameters.sort(([a], [b]) => (a < b ? -1 : 1)) };
}

/** Falling from the first item to the last; two decimals from ten items on, so that 0.10 does not sort below 0.9. */
function weight(at: number, count: number): string {
  return count < 10 ? `0.${count - at}` : Math.max(0.99 - at / 100, 0.01).toFixed(2);
}

function format({ type, parameters }: MediaType, q?: string): string {
  const all = q === undefined ? parameters : [...parameters, ["q", q] as const].sort(([a], [b]) => (a < b ? -1 : 1));
  return [type, ...all.map(([name, value]) => `${name}=${value}`)].join("; ");
}
