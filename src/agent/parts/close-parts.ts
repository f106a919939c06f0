import { describeError, type Logger } from "../../base/index.ts";

/**
 * Closes what an agent has, and tells what cannot be closed in one warning each: by then the end is decided, and a file
 * that stays is no reason for another one. Never rejects.
 */
export async function closeParts(parts: AsyncDisposable, log: Logger): Promise<void> {
  try {
    await parts[Symbol.asyncDispose]();
  } catch (error) {
    for (const failure of error instanceof AggregateError ? error.errors : [error]) log.warn(describeError(failure));
  }
}
