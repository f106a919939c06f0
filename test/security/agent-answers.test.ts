import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import { listenOn } from "./rig.ts";

const EVIL = "\u001b]0;x\u0007\n\u009b2J\u202e";
const ANSWERS: readonly string[] = [
  ...["", "{", "null", "7", "[]", "{}", "<html>", EVIL, JSON.stringify("x".repeat(200_000))],
  '{"version": "9.9.9", "pid": 1, "node": "of another version", "envoys": 0, "drainLeftSeconds": 0}',
  JSON.stringify({
    ...{ version: EVIL, pid: EVIL, node: EVIL, envoy: { kind: EVIL }, leftOut: [{ filter: EVIL }], envoys: EVIL },
    ...{ controlPlane: { address: EVIL, state: EVIL }, drainLeftSeconds: EVIL, envoyAddresses: { admin: EVIL } },
    ...{ outcome: EVIL, reason: EVIL, changes: [EVIL], warnings: EVIL },
  }),
];
const COMMANDS: readonly (readonly string[])[] = [
  ["status"],
  ["status", "-o", "json"],
  ["reload"],
  ["request", "GET", "stats"],
  ["wait", "--timeoutSeconds=1", "--periodMillis=100"],
];

let folder: string;
let answer = "";
const other = createServer((_request, response) => response.end(answer));
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-answers-"));
  const place = join(folder, "etc/istio/proxy");
  await mkdir(place, { recursive: true, mode: 0o700 });
  const runFile = { pid: process.pid, statusPort: await listenOn(other), envoys: [] }; // without its start it is believed
  await writeFile(join(place, "agent.json"), JSON.stringify(runFile), { mode: 0o600 });
});
afterAll(async () => {
  other.close();
  await rm(folder, { recursive: true, force: true });
});

describe.each(runtimes())("on $name", (runtime) => {
  test.each(COMMANDS)(
    "hostile untried: whoever has an agent's port breaks no command, and writes no line: %s",
    async (...command) => {
      for (answer of ANSWERS) {
        const { code, stdout, stderr } = await run(runtime, [...command, "--run-folder", folder]);
        const shown = `${stdout}${stderr}`.replaceAll(/[\n\t]/g, "");
        expect(shown, answer.slice(0, 200)).not.toMatch(/Internal failure|undefined|[\p{Cc}\p{Cf}]/u);
        if (code !== 0) expect(stderr).toMatch(/REQUEST_FAILED|TIMEOUT/);
        expect(stderr.length).toBeLessThan(8_000);
      }
    },
    120_000,
  );
});
