import { openAdsStream } from "./ads-stream.ts";
import { type Change, Conversation, type Watched } from "./conversation.ts";
import { failureOf } from "./failure.ts";
import type { AdsServer, Question, Received, Response } from "./types.ts";
import { DELTA, SOTW } from "./variant.ts";

export interface GetOptions {
  /** For all answers together. */
  readonly limitMs: number;
  readonly stop: AbortSignal;
  readonly referredNames: (resource: Received, typeUrl: string) => readonly string[];
  /** Called for each response. Default: nobody hears of it. */
  readonly onChange?: (change: Change) => void;
}

/** How long names that a first response lacks may still come: a server may send a type in pieces. */
const PIECES_MS = 500;

/**
 * Asks once and resolves with what is known of each type by then, those that were only asked for names included: a type without an answer
 * has no response. Rejects with CONTROL_PLANE_UNREACHABLE, UNAUTHENTICATED or REQUEST_FAILED when the stream ends before
 * that, and with the reason of `stop`.
 */
export async function getResources(
  server: AdsServer,
  question: Question,
  { limitMs, stop, referredNames, onChange }: GetOptions,
): Promise<readonly Watched[]> {
  stop.throwIfAborted();
  let look = (): void => undefined;
  const onResponse = (response: Response): void => {
    for (const change of conversation.onResponse(response)) onChange?.(change);
    look();
  };
  using stream = openAdsStream(server, question.isDelta ? DELTA : SOTW, onResponse, limitMs);
  const conversation = new Conversation({ question, send: (bytes) => stream.send(bytes), referredNames });
  conversation.begin();
  return await new Promise((resolve, reject) => {
    let pieces: NodeJS.Timeout | undefined;
    const finish = (settle: () => void): void => {
      clearTimeout(limit);
      clearTimeout(pieces);
      stop.removeEventListener("abort", onStop);
      settle();
    };
    const done = (): void => finish(() => resolve(conversation.watched));
    const onStop = (): void => finish(() => reject(stop.reason));
    const limit = setTimeout(() => {
      if (stream.isConnected()) done(); // else the stream ends by now, and says what kept it
    }, limitMs);
    stop.addEventListener("abort", onStop);
    look = (): void => {
      clearTimeout(pieces);
      const { watched } = conversation;
      if (watched.every((one) => conversation.isSettled(one))) done();
      else if (watched.every((one) => one.response !== undefined || conversation.isSettled(one))) {
        pieces = setTimeout(done, PIECES_MS);
      }
    };
    stream.ended
      .then((status) => {
        throw failureOf(status, server, stream.isConnected());
      })
      .catch((failure: unknown) => finish(() => reject(failure)));
  });
}
