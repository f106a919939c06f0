import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { expect, test } from "vitest";
import { lossyOutput, steadyOutput } from "../../src/host/index.ts";
import type { ProcessOutput } from "../../src/host/steady-output.ts";

/** As Node gives a process its outputs: one stream per descriptor, here one that fails whatever is written. */
function failingOutput(fd: number): ProcessOutput {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("gone")) });
  return Object.assign(stream, { fd }) as unknown as ProcessOutput;
}

test("what a full disk does not take is lost, and nothing fails", async () => {
  const fd = openSync("/dev/full", "w");
  const output = steadyOutput(failingOutput(fd));
  output.write("lost");
  output.end("lost, too");
  await finished(output);
  closeSync(fd);
});

test("a file is written without the stream that an error would have closed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-output-"));
  const fd = openSync(join(folder, "log"), "a");
  const output = steadyOutput(failingOutput(fd));
  output.write("one\n");
  output.end("two\n");
  await finished(output);
  expect(readFileSync(join(folder, "log"), "utf8")).toBe("one\ntwo\n");
  closeSync(fd);
  await rm(folder, { recursive: true });
});

test("a stream that fails loses what is written, and nothing fails", async () => {
  const output = steadyOutput(failingOutput(-1));
  output.write("lost");
  output.end("lost, too");
  await finished(output);
});

test("a reader that stops reading loses what is written meanwhile, and gets what comes after", async () => {
  const pipe = new PassThrough({ highWaterMark: 1 });
  const output = lossyOutput(pipe);
  output.write("stuck ");
  await new Promise((done) => output.write("lost ", done));
  let read = "";
  pipe.on("data", (chunk) => {
    read += chunk;
  });
  await expect.poll(() => read).toBe("stuck ");
  output.write("last");
  await expect.poll(() => read).toBe("stuck last");
});
