import type { Host } from "../../host/index.ts";

/** A person reads a line and thinks about it; a script that keeps its pipe open for longer has forgotten it. */
const LIMIT_MS = 120_000;
/** A longer answer is none. */
const MOST_CHARACTERS = 1_000;

/**
 * Writes a question to stderr, and resolves with the first line that comes in. Undefined without an answer: standard input
 * is closed, or nothing came within two minutes. Standard input is let go afterwards. Rejects with the signal's reason.
 */
export async function askLine(
  question: string,
  { stderr, openStdin }: Pick<Host, "stderr" | "openStdin">,
  stop: AbortSignal,
): Promise<string | undefined> {
  stop.throwIfAborted();
  stderr.write(question);
  if (openStdin === undefined) return undefined;
  const input = openStdin();
  const given = AbortSignal.any([stop, AbortSignal.timeout(LIMIT_MS)]);
  const answer = await firstLine(input, given).finally(() => {
    input.pause();
    (input as { unref?: () => void }).unref?.();
  });
  if (answer === undefined || !isTerminal(input)) stderr.write("\n"); // a terminal has shown the line that was typed
  stop.throwIfAborted();
  return answer;
}

function firstLine(input: NodeJS.ReadableStream, given: AbortSignal): Promise<string | undefined> {
  return new Promise<string | undefined>((resolve) => {
    let text = "";
    const done = (answer?: string): void => {
      input.off("data", read).off("end", closed).off("close", closed).off("error", closed);
      given.removeEventListener("abort", closed);
      resolve(answer);
    };
    const closed = (): void => done(text === "" ? undefined : text);
    const read = (chunk: Buffer | string): void => {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0 || text.length > MOST_CHARACTERS) done(text.slice(0, end < 0 ? MOST_CHARACTERS : end));
    };
    given.addEventListener("abort", closed);
    input.on("data", read).once("end", closed).once("close", closed).once("error", closed);
    input.resume();
  });
}

function isTerminal(input: NodeJS.ReadableStream): boolean {
  return (input as { isTTY?: boolean }).isTTY === true;
}
