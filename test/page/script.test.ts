import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { SCRIPT } from "../../src/page/document/script.ts";

test("a page whose stream is refused says so and tries again after ten seconds", () => {
  const live = { textContent: "" };
  const later: { readonly retry: () => void; readonly ms: number }[] = [];
  const streams: Stream[] = [];
  class Stream {
    static readonly CLOSED = 2;
    readyState = 0;
    onopen = (): void => undefined;
    onerror = (): void => undefined;
    readonly path: string;
    constructor(path: string) {
      this.path = path;
      streams.push(this);
    }
    addEventListener(): void {}
  }
  runInNewContext(SCRIPT, {
    document: { getElementById: () => live },
    EventSource: Stream,
    setTimeout: (retry: () => void, ms: number) => later.push({ retry, ms }),
  });
  streams[0]?.onerror(); // the browser itself connects again
  expect([live.textContent, later.length]).toEqual(["not live: the agent does not answer", 0]);
  if (streams[0] !== undefined) streams[0].readyState = Stream.CLOSED;
  streams[0]?.onerror();
  expect(live.textContent).toMatch(/^not live: the agent refuses/);
  expect(later.map(({ ms }) => ms)).toEqual([10_000]);
  later[0]?.retry();
  expect(streams.map(({ path }) => path)).toEqual(["/events", "/events"]);
  streams[1]?.onopen();
  expect(live.textContent).toBe("live");
});
