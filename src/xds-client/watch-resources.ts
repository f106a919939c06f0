import { type Backoff, Retries } from "../base/index.ts";
import { openAdsStream } from "./ads-stream.ts";
import { type Change, Conversation } from "./conversation.ts";
import { failureOf, UnreadableResponse } from "./failure.ts";
import type { AdsServer, Question, Received } from "./types.ts";
import { DELTA, SOTW } from "./variant.ts";

export interface WatchOptions {
  readonly stop: AbortSignal;
  readonly referredNames: (resource: Received, typeUrl: string) => readonly string[];
  /** Called for each response, also for one that changes nothing. */
  readonly onChange: (change: Change) => void;
  /** The stream ended; the next one is opened after `waitMs`. */
  readonly onLost: (error: unknown, waitMs: number) => void;
}

const BACKOFF: Backoff = { initialMs: 500, factor: 2, maxMs: 15_000, jitter: 0.2 };

/**
 * Watches until `stop` aborts, and resolves then. A stream that ends is opened again, and what is known already is no change.
 * The server is asked for anew each time: its token may be another one. Rejects when the very first stream ends before anything came, as
 * `getResources` does, and with REQUEST_FAILED for a response that cannot be decoded.
 */
export async function watchResources(
  server: () => Promise<AdsServer>,
  question: Question,
  { stop, referredNames, onChange, onLost }: WatchOptions,
): Promise<void> {
  let hasAnswered = false;
  let known: Conversation["known"] = new Map();
  const retries = new Retries({
    backoff: BACKOFF,
    signal: stop,
    isRetryable: (error) => hasAnswered && !(error instanceof UnreadableResponse),
    onRetry: ({ error, waitMs }) => onLost(error, waitMs),
  });
  while (!stop.aborted) {
    try {
      await once(await server());
    } catch (error) {
      if (stop.aborted) return;
      await retries.afterFailure(error).catch((failure: unknown) => {
        if (!stop.aborted) throw failure;
      });
    }
  }

  /** Resolves when `stop` aborts; rejects when the stream ends. */
  async function once(at: AdsServer): Promise<void> {
    using stream = openAdsStream(at, question.isDelta ? DELTA : SOTW, (response) => {
      for (const change of conversation.onResponse(response)) onChange(change);
      hasAnswered = true;
      retries.progress();
    });
    const conversation = new Conversation({ question, referredNames, known, send: (bytes) => stream.send(bytes) });
    conversation.begin();
    const onStop = (): void => stream[Symbol.dispose]();
    stop.addEventListener("abort", onStop, { once: true });
    const status = await stream.ended.finally(() => stop.removeEventListener("abort", onStop));
    known = conversation.known;
    if (!stop.aborted) throw failureOf(status, at, stream.isConnected());
  }
}
