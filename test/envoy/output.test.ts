import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../../src/base/index.ts";
import { type OutputSource, passOn, settleOutput, Tail, withoutClosingStreams } from "../../src/envoy/output/index.ts";
import type { PassOptions } from "../../src/envoy/output/pass-on.ts";
import { readStream } from "../../src/envoy/output/read-output.ts";
import { outputSource } from "../support/output.ts";
import { openPaths } from "../support/processes.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-envoy-output-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What each write got. */
class Writes extends Writable {
  readonly texts: string[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.texts.push(chunk.toString("latin1"));
    done();
  }
}

/** Runs a shell script as Envoy is run; resolves with what was passed on. */
async function shell(script: string, source: OutputSource, ids: { uid?: number; gid?: number } = {}) {
  const output = await source.open();
  const child = spawn("/bin/sh", ["-c", script], { cwd: "/", stdio: output.stdio, ...ids });
  const { stdout, stderr } = output.begin(child);
  const exit = new Promise((done) => child.once("exit", done));
  const texts = [new Writes(), new Writes()] as const;
  const passing = [stdout, stderr].flatMap((reader, at) => {
    const to = texts[at];
    return reader === undefined || to === undefined ? [] : [passOn(reader, { to })];
  });
  const code = await exit;
  await settleOutput(passing);
  return { code, stdout: texts[0].texts.join(""), stderr: texts[1].texts.join("") };
}

// Linux is where a socket cannot be opened again, and so where there are pipes
describe.runIf(process.platform === "linux")("the outputs of Envoy", () => {
  test("reality 1: can be opened again by name, for writing and appending", async () => {
    const source = outputSource({ folders: [folder] });
    const script = "echo one >/dev/stdout; echo two >>/dev/stderr; echo three >&1; echo four >/proc/self/fd/2";
    expect(await shell(script, source)).toEqual({ code: 0, stdout: "one\nthree\n", stderr: "two\nfour\n" });
    expect(await readdir(folder)).toEqual([]);
  });

  // becoming another user takes root
  test.runIf(process.getuid?.() === 0)("reality 1: can be opened again by the user that Envoy runs as", async () => {
    const owner = { uid: 1337, gid: 1337 };
    const script = "id -u; echo out >/dev/stdout && echo err >/dev/stderr";
    const ran = await shell(script, outputSource({ folders: [folder], owner }), owner);
    expect(ran).toEqual({ code: 0, stdout: "1337\nout\n", stderr: "err\n" });
  });

  test("reality 1: no byte is lost of a process that writes much and ends at once", async () => {
    const ran = await shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end >&2", outputSource());
    expect([ran.code, ran.stdout.length, ran.stdout.at(-1), ran.stderr]).toEqual([0, 3_000_001, "\n", "end\n"]);
  });

  test("a grandchild that holds them open does not hold up the end", async () => {
    const startedMs = performance.now();
    const ran = await shell("echo said; sleep 30 & exit 4", outputSource());
    expect(ran).toMatchObject({ code: 4, stdout: "said\n" });
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  test("pipes that were prepared in vain are closed", async () => {
    const pipes = (): number => openPaths(process.pid).filter((path) => path.startsWith(folder)).length;
    const source = outputSource({ folders: [folder] });
    source.prepare();
    await expect.poll(pipes).toBeGreaterThan(0);
    await source[Symbol.asyncDispose]();
    expect(pipes()).toBe(0);
  });

  test("the first folder that takes named pipes is used", async () => {
    const source = outputSource({ folders: ["/proc", join(folder, "gone"), folder] });
    expect(await shell("echo x >/dev/stdout", source)).toMatchObject({ stdout: "x\n" });
  });

  test("reality 1: without pipes there is one warning, and /dev/stdout can be opened all the same", async () => {
    const lines: string[] = [];
    const log = createLogger({ write: (line) => void lines.push(line) });
    const source = outputSource({ folders: [join(folder, "gone")], log });
    const script = "echo lost >/dev/stdout && echo told >&2; echo refused 2>&- >/dev/stderr";
    for (let round = 0; round < 2; round++) {
      expect(await shell(script, source)).toEqual({ code: 2, stdout: "", stderr: expect.stringContaining("told\n") });
    }
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/Cannot make pipes .* No such file or directory.*mkfifo/);
  });
});

describe.runIf(process.platform === "linux")("without pipes, the agent's own stdout is Envoy's", () => {
  test.each([
    ["when it is a file that is appended to", "a", "mine\nenvoy's\n"],
    ["but not a file in which both would overwrite each other", "w", "mine\n"],
  ])("reality 1: %s", async (_, flags, expected) => {
    const path = join(folder, "log");
    const fd = openSync(path, flags);
    writeSync(fd, "mine\n");
    await shell('echo "envoy\'s" >>/dev/stdout', outputSource({ folders: [], ownStdout: fd }));
    closeSync(fd);
    expect(readFileSync(path, "utf8")).toBe(expected);
  });
});

describe("passing output on", () => {
  async function pass(chunks: readonly string[], edit?: PassOptions["edit"]): Promise<readonly string[]> {
    const to = new Writes();
    const reader = readStream(Readable.from(chunks.map((chunk) => Buffer.from(chunk, "latin1"))));
    await passOn(reader, { to, ...(edit && { edit }) }).done;
    return to.texts;
  }

  test("reality 1: each write is of whole lines, whatever the pieces that were read", async () => {
    expect(await pass(["one\ntw", "o\nthr", "ee", "\nfour"])).toEqual(["one\n", "two\n", "three\n", "four"]);
  });

  test("a line without end is passed on in parts, so that memory is bounded", async () => {
    const part = "x".repeat(40_000);
    const writes = await pass([part, part, part, "\nend\n"]);
    expect(writes.join("")).toBe(`${part.repeat(3)}\nend\n`);
    expect(Math.max(...writes.map((text) => text.length))).toBeLessThan(130_000);
  });

  test("the rest of a line is not held for ever", async () => {
    const [from, to] = [new PassThrough(), new Writes()];
    const passing = passOn(readStream(from), { to });
    from.write("no line end");
    await expect.poll(() => to.texts).toEqual(["no line end"]);
    from.end(", after all");
    await passing.done;
    expect(to.texts).toEqual(["no line end", ", after all"]);
  });

  test("reality 31: streams that close are told of, but not after Envoy was asked to end", async () => {
    const said = "[warning] gRPC config stream";
    const closed = (name: string) => `${name} ${said} to sds-grpc closed: 13, reset\n`;
    const bytes = `${String.fromCharCode(...Array(256).keys())}\n`;
    const chunks = [
      closed("StreamSecrets"),
      `${bytes}caught ENVOY_SIGTERM\n${closed("Delta")}${bytes}`,
      closed("x"),
      "end\n",
    ];
    const texts = await pass(chunks, withoutClosingStreams().edit);
    expect(texts.join("")).toBe(`${closed("StreamSecrets")}${bytes}caught ENVOY_SIGTERM\n${bytes}end\n`);
  });

  test("reality 31: once the agent has sent SIGTERM, Envoy's lines about closed streams are dropped, not those before", async () => {
    const local = (ms: number): string => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString();
    const closed = (ms: number): string =>
      `${local(ms)}\twarning\tenvoy config DeltaAggregatedResources gRPC config stream to xds-grpc closed: 14, gone\n`;
    const { edit, noteSigterm } = withoutClosingStreams();
    const [now, passed] = [Date.now(), (...lines: string[]) => String(edit(Buffer.from(lines.join(""))))];
    expect(passed(closed(now))).toBe(closed(now));
    noteSigterm();
    // the first was in the pipe when the signal was sent, and is read only now
    expect(passed(closed(now - 1), closed(Date.now() + 1), "end\n")).toBe(`${closed(now - 1)}end\n`);
  });

  test("the last lines have what is not passed on, too", async () => {
    const [to, tail] = [new Writes(), new Tail()];
    const reader = readStream(Readable.from([Buffer.from("a\nb\n")]));
    await passOn(reader, { to, note: (chunk) => tail.add(chunk), edit: () => Buffer.alloc(0) }).done;
    expect([to.texts.join(""), tail.lines()]).toEqual(["", ["a", "b"]]);
  });
});
