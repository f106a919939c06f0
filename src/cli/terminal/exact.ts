import { isTerminal } from "../../host/index.ts";

/** A document or an answer: on a terminal escaped as all text, elsewhere exact. */
export function writeExact(output: NodeJS.WritableStream, text: string): void {
  output.write(isTerminal(output) ? text : Buffer.from(text));
}
