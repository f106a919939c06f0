import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { runInProcess } from "../support/run-cli.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-inject-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const DEPLOYMENT = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    metadata:
      labels: { app: web }
    spec:
      containers:
      - name: app
        image: nginx # a comment
`;
const SERVICE = `# the front door
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}}
`;

/** Runs `inject -f manifest.yaml` with the built-in templates. */
async function inject(text: string, ...words: readonly string[]) {
  await writeFile(join(folder, "manifest.yaml"), text);
  return run("-f", "manifest.yaml", "--built-in", ...words);
}

async function run(...words: readonly string[]) {
  return runInProcess(["inject", ...words], { cwd: folder, env: { HOME: folder } });
}

function documents(text: string) {
  return parseAllDocuments(text).map((document) => document.toJS());
}

describe("what is printed", () => {
  test("manifests without a pod are printed as they were written, in their place", async () => {
    const { code, stdout, stderr } = await inject(`${SERVICE}---\n${DEPLOYMENT}---\n# nothing\n---\n${SERVICE}`);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.startsWith(`${SERVICE}---\n`)).toBe(true);
    expect(stdout.endsWith(`---\n${SERVICE}`)).toBe(true);
    const [, deployment, last] = documents(stdout);
    expect(deployment.spec.template.spec.containers.map(({ name }: { name: string }) => name)).toEqual([
      "app",
      "istio-proxy",
    ]);
    expect(last.kind).toBe("Service");
  });

  test("indented and with empty lines at its end, a manifest without a pod stays what it was", async () => {
    const text = "  kind: ConfigMap\n  data:\n    text: |+\n      a\n\n\n";
    const { stdout } = await inject(`\n\n${text}---\n${SERVICE}`);
    expect(stdout).toBe(`${text}---\n${SERVICE}`);
  });

  test("of a folder the files, not the folders in it", async () => {
    await mkdir(join(folder, "mixed", "other.yaml"), { recursive: true });
    await writeFile(join(folder, "mixed", "service.yaml"), SERVICE);
    expect(await run("-f", "mixed", "--built-in")).toMatchObject({ code: 0, stdout: SERVICE });
  });

  test("any number of empty lines costs nothing", async () => {
    const { code, stdout } = await inject(`${"\n".repeat(10_000)}${SERVICE}`);
    expect([code, stdout]).toEqual([0, SERVICE]);
  });

  test("an annotation may be named like what every object of JavaScript has", async () => {
    const annotated = DEPLOYMENT.replace("labels: { app: web }", "annotations: { constructor: x, toString: z }");
    const [{ spec }] = documents((await inject(annotated)).stdout);
    expect(spec.template.metadata.annotations).toMatchObject({ constructor: "x", toString: "z" });
  });

  test("text that YAML 1.1 would take for something else stays text", async () => {
    const label = `labels: { app: web, a: "yes", b: "0755", c: "1e3", d: "2020-01-01", e: "12:30:45", f: "null" }`;
    const { stdout } = await inject(DEPLOYMENT.replace("labels: { app: web }", label));
    const [deployment] = parseAllDocuments(stdout, { version: "1.1" }).map((document) => document.toJS());
    const { labels } = deployment.spec.template.metadata;
    expect(labels).toMatchObject({ a: "yes", b: "0755", c: "1e3", d: "2020-01-01", e: "12:30:45", f: "null" });
  });

  test("--image names the proxy's image, by default pilotboat's own; an annotation of the pod wins", async () => {
    const images = (text: string) => {
      const [{ spec }] = documents(text);
      const { containers, initContainers } = spec.template.spec;
      return [...containers.slice(1), ...initContainers].map(({ image }: { image: string }) => image);
    };
    expect(images((await inject(DEPLOYMENT)).stdout)).toEqual([
      expect.stringMatching(/^pilotboat:\d/),
      expect.stringMatching(/^pilotboat:\d/),
    ]);
    expect(images((await inject(DEPLOYMENT, "--image", "own/proxy:7")).stdout)).toEqual(["own/proxy:7", "own/proxy:7"]);
    const annotated = DEPLOYMENT.replace(
      "labels:",
      "annotations: {sidecar.istio.io/proxyImage: pods/own:1}\n      labels:",
    );
    expect(images((await inject(annotated, "--image", "own/proxy:7")).stdout)).toEqual(["pods/own:1", "pods/own:1"]);
  });

  test("--diff shows what changes, and only that", async () => {
    const { code, stdout } = await inject(`${SERVICE}---\n${DEPLOYMENT}`, "--diff");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^--- manifest\.yaml:6\n\+\+\+ manifest\.yaml:6 \(injected\)\n@@ -/);
    expect(stdout).toContain("\n+      - name: istio-proxy\n");
    expect(stdout).toContain("\n         image: nginx\n".replace("         ", " ".repeat(9)));
    expect(stdout).not.toMatch(/^-(?!-- )/m);
    expect(stdout).not.toContain("Service");
  });

  test("-o json prints one object after the other", async () => {
    const { stdout } = await inject(`${SERVICE}---\n${DEPLOYMENT}`, "-o", "json");
    const [service, deployment] = stdout
      .split(/(?<=^\})\n/m)
      .slice(0, 2)
      .map((text) => JSON.parse(text));
    expect([service.kind, deployment.kind]).toEqual(["Service", "Deployment"]);
  });

  test("a folder gives its manifests by name, and -f may be repeated", async () => {
    await mkdir(join(folder, "all"), { recursive: true });
    await writeFile(join(folder, "all", "b.yml"), DEPLOYMENT);
    await writeFile(join(folder, "all", "a.yaml"), SERVICE);
    await writeFile(join(folder, "all", "c.txt"), "no: manifest");
    await writeFile(join(folder, "all", "d.json"), '{"apiVersion": "v1", "kind": "ConfigMap"}');
    const { stdout } = await run("-f", "all", "-f", "all/b.yml", "--built-in");
    expect(documents(stdout).map(({ kind }) => kind)).toEqual(["Service", "Deployment", "ConfigMap", "Deployment"]);
  });

  test("what was injected before is injected again, and stays the same", async () => {
    const once = (await inject(DEPLOYMENT)).stdout;
    expect((await inject(once)).stdout).toBe(once);
  });
});

describe("what is not injected is printed as it was, and stderr says why", () => {
  const because = async (text: string, reason: string, ...words: readonly string[]) => {
    const { code, stdout, stderr } = await inject(text, ...words);
    expect([code, stdout]).toEqual([0, text]);
    expect(stderr).toBe(`${reason === "" ? "" : `pilotboat: ${reason}\n`}pilotboat: nothing was injected\n`);
  };

  test("a pod on the host's network", () =>
    because(
      DEPLOYMENT.replace("    spec:\n", "    spec:\n      hostNetwork: true\n"),
      `Deployment "web" is not injected: it uses the host's network`,
    ));
  test("a pod whose label says no", () =>
    because(
      DEPLOYMENT.replace("app: web }", 'app: web, sidecar.istio.io/inject: "false" }'),
      'Deployment "web" is not injected: label sidecar.istio.io/inject is "false"',
    ));
  test("a namespace of Kubernetes itself", () =>
    because(
      DEPLOYMENT,
      'Deployment "web" is not injected: nothing is injected in namespace "kube-system"',
      "-n",
      "kube-system",
    ));
  test("a kind of somebody else that has a pod", () =>
    because(
      DEPLOYMENT.replace("apps/v1", "argoproj.io/v1alpha1").replace("Deployment", "Rollout"),
      `Rollout "web" is not injected: argoproj.io/v1alpha1 is none of Kubernetes' own kinds`,
    ));
  test("manifests without any pod", () => because(SERVICE, ""));
});

describe("what cannot be done is said, and nothing is printed", () => {
  const refused = async (answer: ReturnType<typeof inject>, ...parts: readonly (string | RegExp)[]) => {
    const { code, stdout, stderr } = await answer;
    expect([code, stdout]).toEqual([2, ""]);
    for (const part of parts) expect(stderr).toMatch(part);
  };

  test("YAML that is none, with file, line and column", () =>
    refused(inject(`${SERVICE}---\n${DEPLOYMENT}   bad\n`), "MANIFEST_INVALID", "manifest.yaml:19:1: "));
  test("a Deployment without a template", () =>
    refused(
      inject("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n"),
      'Deployment "web": spec.template.spec is missing',
    ));
  test("containers that are no list, with their path", () =>
    refused(inject(DEPLOYMENT.replace("- name: app", "  name: app")), "spec.containers: found"));
  test("an unknown template, with those that there are", () =>
    refused(
      inject(DEPLOYMENT.replace("labels:", "annotations: {inject.istio.io/templates: sidecars}\n      labels:")),
      'there is no template "sidecars", wanted one of: sidecar, gateway',
    ));
  test("annotations that are wrong, all of them", () =>
    refused(
      inject(
        DEPLOYMENT.replace(
          "labels:",
          "annotations: {sidecar.istio.io/proxyCPU: much, status.sidecar.istio.io/port: http}\n      labels:",
        ),
      ),
      'sidecar.istio.io/proxyCPU is "much", wanted a quantity',
      'status.sidecar.istio.io/port is "http", wanted a port',
    ));
  test("a ProxyConfig that cannot be read", () =>
    refused(
      inject(DEPLOYMENT.replace("labels:", "annotations: {proxy.istio.io/config: 'concurrency: many'}\n      labels:")),
      "CONFIG_INVALID",
      /annotation proxy\.istio\.io\/config:1:\d+: concurrency/,
    ));
  test("a file that does not exist", () =>
    refused(run("-f", "none.yaml", "--built-in"), 'Cannot find the file "', "USAGE"));
  test("no -f", () => refused(run("--built-in"), "Missing -f PATH"));
  test("a word that is no form", () => refused(inject(SERVICE, "-o", "toml"), 'Cannot use --output "toml"'));
  test("no cluster", () => refused(run("-f", "manifest.yaml"), "KUBECONFIG_MISSING", "--built-in"));

  test("a template that fails, with its name and line", async () => {
    const config = "templates:\n  sidecar: |\n    metadata:\n      labels: {{ nothing }}\n";
    await writeFile(join(folder, "config.yaml"), config);
    await writeFile(join(folder, "empty.yaml"), "{}\n");
    const files = ["--injectConfigFile", "config.yaml", "--valuesFile", "empty.yaml", "--meshConfigFile", "empty.yaml"];
    await writeFile(join(folder, "manifest.yaml"), DEPLOYMENT);
    const policy = await run("-f", "manifest.yaml", ...files);
    expect(policy.stderr).toContain('the injector\'s policy is ""');
    await writeFile(join(folder, "config.yaml"), `policy: enabled\n${config}`);
    await refused(run("-f", "manifest.yaml", ...files), 'template "sidecar"', "nothing", "not defined");
    await writeFile(join(folder, "config.yaml"), `policy: enabled\n${config.replace("nothing", ".Nothing")}`);
    await refused(
      run("-f", "manifest.yaml", ...files),
      "can't evaluate field Nothing in type inject.SidecarTemplateData",
    );
    await writeFile(
      join(folder, "config.yaml"),
      `policy: enabled\n${config.replace("{{ nothing }}", '{{ fail "no" }}')}`,
    );
    await refused(run("-f", "manifest.yaml", ...files), 'template "sidecar", line 2: error calling fail: no');
  });
});
