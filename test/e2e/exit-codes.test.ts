import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";

const WORKLOAD = { POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "web" };

interface Failure {
  readonly args: readonly string[];
  readonly fields?: object;
  readonly code: number;
  readonly shown: RegExp;
}

const FAILURES: readonly (readonly [string, Failure])[] = [
  [
    "a configuration with problems",
    {
      args: ["proxy"],
      fields: { drainDuration: 90 },
      code: 2,
      shown: /configuration has 1 problem[\s\S]*drainDuration/,
    },
  ],
  ["a word that is not ours", { args: ["proxy", "side-car"], code: 2, shown: /invalid proxy Type: side-car/ }],
  ["an Envoy that is not there", { args: ["proxy", "--envoy", "/no/envoy"], code: 1, shown: /\/no\/envoy/ }],
  [
    "no root to verify the control plane with",
    { args: ["proxy", "--envoy", "/bin/true"], code: 1, shown: /root CA file/ },
  ],
  ["a run", { args: ["run", "--envoy=/no/envoy"], code: 1, shown: /\/no\/envoy/ }],
];

// Those of a running proxy are in test/faults/; these are the commands that only ask.
describe.each(runtimes())("exit codes of commands on $name", (runtime) => {
  const codeOf = async (...args: readonly string[]): Promise<number | null> => (await run(runtime, args)).code;

  test("help and version end with 0", async () => {
    expect(await Promise.all([codeOf("--help"), codeOf("proxy", "--help"), codeOf("version")])).toEqual([0, 0, 0]);
  });

  test("a command line that cannot be understood ends with 2", async () => {
    const lines = [["no-such-command"], ["request", "GET"], ["wait", "--nope"], ["run"]];
    expect(await Promise.all(lines.map((line) => codeOf(...line)))).toEqual([2, 2, 2, 2]);
  });

  test("a start that is refused after the log was opened ends with 2, its lines first and the reason last", async () => {
    const env = { ENVOY_STATUS_PORT: "15090", POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "web" };
    const { code, stdout, stderr } = await run(runtime, ["proxy", "sidecar"], { cwd: "/", env });
    expect(code).toBe(2);
    expect(stdout).toMatch(/FLAG: --watch="false"[\s\S]*Effective config/);
    expect(stderr).toMatch(/^Error: Cannot use port 15090 twice.*\[CONFIG_INVALID\]\n {2}hint: .*\n$/);
  });

  describe("reality 14: the reason of a failed start is on stderr, and in the log in its form", () => {
    test.each(FAILURES)("%s", async (_name, { args, fields, code, shown }) => {
      const folder = await mkdtemp(join(tmpdir(), "pb-reason-"));
      const [statusPort] = await freePorts(1);
      try {
        const command = args[0] === "run" ? ["--", "true"] : [];
        const options = { cwd: folder, env: { ...WORKLOAD, PROXY_CONFIG: JSON.stringify({ statusPort, ...fields }) } };
        const toFile = await run(runtime, [...args, "--log_target=agent.log", ...command], options);
        const inFile = (await readFile(join(folder, "agent.log"), "utf8")).trim().split("\n");
        expect(toFile).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(shown) });
        expect(inFile.filter((line) => /^\S+\terror\t/.test(line))).toEqual([expect.stringMatching(shown)]);
        expect(inFile.at(-1)).toMatch(/\terror\t.*\tcode=[A-Z_]+/);

        const asJson = await run(runtime, [...args, "--log_as_json", ...command], options);
        const lines = `${asJson.stdout}${asJson.stderr}`
          .split("\n")
          .filter((line) => line.startsWith('{"level":"error"'));
        expect(lines.map((line) => JSON.parse(line).msg)).toEqual([expect.stringMatching(shown)]);
        expect(asJson).toMatchObject({ code, stderr: expect.stringMatching(/^Error: .*/m) });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  });

  test("a request without an answer, and a wait in vain, end with 1", async () => {
    const [port] = await freePorts(1);
    const wait = ["wait", `--url=http://127.0.0.1:${port}/`, "--timeoutSeconds=1", "--periodMillis=50"];
    expect(await Promise.all([codeOf("request", "GET", "stats"), codeOf(...wait)])).toEqual([1, 1]);
  });
});
