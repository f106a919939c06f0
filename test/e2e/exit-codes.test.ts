import { describe, expect, test } from "vitest";
import { freePorts } from "../../src/base/index.ts";
import { run, runtimes } from "../support/pilotboat.ts";

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
    const env = { ISTIO_META_DNS_CAPTURE: "true", POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "web" };
    const { code, stdout, stderr } = await run(runtime, ["proxy", "sidecar"], { cwd: "/", env });
    expect(code).toBe(2);
    expect(stdout).toMatch(/FLAG: --watch="false"[\s\S]*Effective config/);
    expect(stderr).toMatch(/^Error: Cannot serve DNS.*\[CONFIG_INVALID\]\n {2}hint: .*\n$/);
  });

  test("a request without an answer, and a wait in vain, end with 1", async () => {
    const [port] = await freePorts(1);
    const wait = ["wait", `--url=http://127.0.0.1:${port}/`, "--timeoutSeconds=1", "--periodMillis=50"];
    expect(await Promise.all([codeOf("request", "GET", "stats"), codeOf(...wait)])).toEqual([1, 1]);
  });
});
