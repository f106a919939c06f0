import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findIstioctl, runIstioctl } from "../support/istioctl.ts";
import { type RunningCommand, run, runtimes } from "../support/pilotboat.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

const istioctl = findIstioctl();

describe.each(runtimes())("proxy-config on $name", (runtime) => {
  let sandbox: Sandbox;
  const commands: RunningCommand[] = [];
  const pilotboat = (...words: string[]) => run(runtime, ["proxy-config", ...words], { cwd: sandbox.folder });

  beforeAll(async () => {
    sandbox = await createSandbox(runtime);
    commands.push(await sandbox.startControlPlane());
    const proxy = await sandbox.startProxy();
    commands.push(proxy);
    await proxy.waitFor(/\tStart: .*ready \d+ ms/);
    for (const [file, path] of [
      ["dump.json", "config_dump"],
      ["eds.json", "config_dump?include_eds"],
      ["clusters.json", "clusters?format=json"],
    ] as const) {
      const text = await fetch(`http://127.0.0.1:${sandbox.ports.admin}/${path}`).then((answer) => answer.text());
      await writeFile(join(sandbox.folder, file), text);
    }
  });
  afterAll(async () => {
    for (const command of commands) await command[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
  });

  test("the tables of a running agent's Envoy, by folder, by admin port, of a file and of stdin, are the same", async () => {
    const byFolder = await pilotboat("clusters");
    expect(byFolder).toMatchObject({ code: 0, stderr: "" });
    expect(byFolder.stdout).toMatch(/^SERVICE FQDN +PORT +SUBSET +DIRECTION +TYPE +DESTINATION RULE\n/);
    expect(byFolder.stdout).toMatch(/^xds-grpc +- +- +- +STATIC/m);
    const { admin } = sandbox.ports;
    const others = [
      ["--proxy-admin-port", String(admin)],
      ["--file", "dump.json"],
      ["--run-folder", sandbox.folder],
    ];
    for (const words of others) expect((await pilotboat("clusters", ...words)).stdout).toBe(byFolder.stdout);
    const [file = "", ...before] = runtime.command;
    const piped = (input: string) =>
      execFileSync("sh", ["-c", `${input} "$@"`, "sh", file, ...before, "pc", "cluster", "-f", "-"], {
        cwd: sandbox.folder,
        encoding: "utf8",
      });
    expect(piped("cat dump.json |")).toBe(byFolder.stdout);
    expect(piped("<dump.json")).toBe(byFolder.stdout);
  });

  test("each part has its table, its filters and its documents; no key is in any", async () => {
    const { outbound, inbound } = sandbox.ports;
    expect((await pilotboat("listeners", "--port", String(outbound))).stdout).toMatch(
      new RegExp(`^ADDRESSES +PORT +MATCH +DESTINATION\\n\\S+ +${outbound} +\\S.*\\n$`),
    );
    expect((await pilotboat("listeners", "--verbose=false")).stdout).toMatch(new RegExp(` ${inbound} +HTTP$`, "m"));
    expect((await pilotboat("endpoints", "--cluster", "prometheus_stats")).stdout).toMatch(
      new RegExp(`^127\\.0\\.0\\.1:${sandbox.ports.admin} +HEALTHY +OK +prometheus_stats$`, "m"),
    );
    expect((await pilotboat("routes")).stdout).toMatch(/^NAME +VHOST NAME +DOMAINS +MATCH +VIRTUAL SERVICE\n/);
    const secrets = (await pilotboat("secrets")).stdout;
    expect(secrets).toMatch(/^default +Cert Chain +ACTIVE +true +[0-9a-f]{32} +20\d\d-\S+Z +20\d\d-\S+Z$/m);
    expect(secrets).toMatch(/^ROOTCA +CA +ACTIVE +true/m);
    for (const part of ["clusters", "listeners", "routes", "endpoints", "secrets"]) {
      const [json, yaml] = await Promise.all(["json", "yaml"].map((form) => pilotboat(part, "-o", form)));
      expect([part, json?.code, yaml?.code]).toEqual([part, 0, 0]);
      expect(JSON.parse(json?.stdout ?? "")).toBeTypeOf("object");
      for (const { stdout } of [json, yaml] as { stdout: string }[]) {
        const keys = [...stdout.matchAll(/"?privateKey"?: (.*)/g)].map(([, value]) => value);
        expect(keys.every((value) => /^"?(\[hidden\]|\*+|<hidden>|hidden)/.test(value ?? ""))).toBe(true);
      }
    }
  });

  test("what is no dump, two places at once and an unknown form are refused", async () => {
    await writeFile(join(sandbox.folder, "none.json"), '{"bootstrap": {}}');
    const none = await pilotboat("clusters", "--file", "none.json");
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('found neither "configs" nor "cluster_statuses"');
    expect((await pilotboat("clusters", "--file", "missing.json")).stderr).toContain("Cannot find the file");
    expect((await pilotboat("clusters", ".", "--file", "dump.json")).stderr).toContain("Cannot look at two");
    expect((await pilotboat("clusters", "-o", "table")).stderr).toContain("wanted short or json or yaml");
    expect((await pilotboat("routes", "--file", "clusters.json")).stderr).toContain("Cannot find RoutesConfigDump");
  });

  const SAME = [
    ["clusters", "dump.json"],
    ["clusters", "dump.json", "--fqdn", "xds"],
    ["clusters", "dump.json", "--direction", "outbound"],
    ["listeners", "dump.json"],
    ["listeners", "dump.json", "--verbose=false"],
    ["listeners", "dump.json", "--type", "http"],
    ["routes", "dump.json"],
    ["routes", "dump.json", "--verbose=false"],
    ["endpoints", "clusters.json"],
    ["endpoints", "clusters.json", "--status", "healthy"],
    ["secret", "dump.json"],
  ];
  test.runIf(istioctl !== undefined).each(SAME)(
    "%s of %s: byte for byte istioctl's table",
    async (part = "", file = "", ...filters) => {
      const words = [part, "--file", join(sandbox.folder, file), ...filters];
      const [ours, theirs] = [await pilotboat(...words), await runIstioctl(istioctl ?? "", ["proxy-config", ...words])];
      expect(ours.stdout).toBe(theirs);
    },
  );

  test.runIf(istioctl !== undefined).each(["clusters", "listeners", "routes"])(
    "%s as JSON is istioctl's document",
    async (part) => {
      const words = [part, "--file", join(sandbox.folder, "dump.json"), "-o", "json"];
      const theirs = await runIstioctl(istioctl ?? "", ["proxy-config", ...words]);
      expect(JSON.parse((await pilotboat(...words)).stdout)).toEqual(JSON.parse(theirs));
    },
  );
});
