import { httpRequest } from "../../base/index.ts";

export interface MetadataRequest {
  readonly method?: "GET" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Ends every question of a start at the same time. */
  readonly limit: AbortSignal;
  /** Azure gives the body also with other codes. Default false: anything but 200 is a failure. */
  readonly isAnyStatusFine?: boolean;
}

export interface MetadataAnswer {
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** The longest answers are lists of tags and certificates. */
const MOST_BYTES = 2 ** 20;

/** Asks a cloud's metadata server; undefined whenever there is no answer, for whatever reason. */
export async function askMetadata(url: string, options: MetadataRequest): Promise<MetadataAnswer | undefined> {
  const { method = "GET", headers = {}, timeoutMs, limit, isAnyStatusFine = false } = options;
  if (!URL.canParse(url) || limit.aborted) return undefined;
  try {
    const limits = { timeoutMs, signal: limit, mostBytes: MOST_BYTES };
    const answer = await httpRequest(new URL(url), { method, headers, ...limits });
    const isFine = answer.status === 200 || isAnyStatusFine;
    return isFine ? { body: answer.body.toString("utf8"), headers: answer.headers } : undefined;
  } catch {
    return undefined; // no such service here
  }
}

/** The object that an answer holds; empty for any other answer, and for none. */
export function objectIn(answer: MetadataAnswer | undefined): Readonly<Record<string, unknown>> {
  try {
    return asObject(answer === undefined ? undefined : JSON.parse(answer.body));
  } catch {
    return {}; // not this service
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : {};
}

/** A text, empty for anything else. */
export function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}
