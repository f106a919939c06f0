import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type Runtime, runtimes } from "../support/pilotboat.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-inject-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const POD = `apiVersion: v1
kind: Pod
metadata: {name: alone}
spec:
  containers:
  - {name: app, image: nginx, ports: [{containerPort: 8080}, {containerPort: 8081}]}
`;

/** Runs `inject` with this on stdin. */
function inject({ command: [file = "", ...before] }: Runtime, words: readonly string[], input: string) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((done, fail) => {
    const child = spawn(file, [...before, "inject", ...words], { cwd: folder, env: { HOME: folder } });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    child.once("error", fail).once("close", (code) => done({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

describe.each(runtimes())("inject with $name", { timeout: 60_000 }, (runtime) => {
  test("reads stdin", async () => {
    const { code, stdout, stderr } = await inject(runtime, ["-f", "-", "--built-in"], POD);
    expect([code, stderr]).toEqual([0, ""]);
    expect(parse(stdout).spec.containers).toHaveLength(2);
  });

  test("says that stdin is empty or closed", async () => {
    const empty = await inject(runtime, ["-f", "-", "--built-in"], "");
    const quoted = [...runtime.command, "inject", "-f", "-", "--built-in"].map((word) => `'${word}'`).join(" ");
    const closed = await inject({ name: "sh", command: ["sh", "-c", `${quoted} <&- #`] }, [], "");
    for (const { code, stdout, stderr } of [empty, closed]) {
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain("Cannot read the manifests from stdin: it is empty or closed [FILE_UNREADABLE]");
    }
  });

  test("renders Go templates of a file, with assignments and functions of the injector", async () => {
    const template = [
      "{{- $ports := list }}",
      "{{- range .Spec.Containers }}{{ range .Ports }}{{ $ports = append $ports .ContainerPort }}{{ end }}{{ end }}",
      '{{- if true }}{{ $ports := "inner" }}{{ end }}',
      'metadata: {labels: {ports: {{ $ports | join "-" | quote }}, name: {{ annotation .ObjectMeta `a` .DeploymentMeta.Name }}}}',
      "spec: {containers: [{name: istio-proxy, image: {{ .ProxyImage }}}]}",
    ].join("\n");
    await writeFile(
      join(folder, "config.yaml"),
      JSON.stringify({ policy: "enabled", templates: { sidecar: template } }),
    );
    await writeFile(join(folder, "none.yaml"), "");
    await writeFile(join(folder, "values.yaml"), "{}");
    const files = ["--injectConfigFile", "config.yaml", "--valuesFile", "values.yaml", "--meshConfigFile", "none.yaml"];
    const { code, stdout, stderr } = await inject(runtime, ["-f", "-", "--image", "own/proxy", ...files], POD);
    expect([code, stderr]).toEqual([0, ""]);
    const { metadata, spec } = parse(stdout);
    expect(metadata.labels).toEqual({ ports: "8080-8081", name: "alone" });
    expect(spec.containers[1]).toMatchObject({ name: "istio-proxy", image: "own/proxy" });
  });
});
