import { request } from "node:http";

/** No benchmark waits longer than this for one event. */
export const GIVE_UP_MS = 30_000;

/** When a new connection first got 200, on the clock of `performance.now()`. */
export async function untilAnswered(port: number): Promise<number> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < limitMs) {
    if ((await ask(port)) === 200) return performance.now();
    await nextMillisecond();
  }
  throw new Error(`No answer on port ${port} within the limit`);
}

/** The status of one request on a new connection; undefined when there was no answer. */
export function ask(port: number, path = "/", method = "GET"): Promise<number | undefined> {
  return new Promise((done) => {
    const call = request({ host: "127.0.0.1", port, path, method, agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      response.once("end", () => done(response.statusCode));
      response.once("error", () => done(undefined));
    });
    call.once("timeout", () => call.destroy());
    call.once("error", () => done(undefined));
    call.end();
  });
}

export const pause = (ms: number): Promise<void> => new Promise((over) => setTimeout(over, ms));

export const nextMillisecond = (): Promise<void> => pause(1);
