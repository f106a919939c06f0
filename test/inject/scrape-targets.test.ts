import { expect, test } from "vitest";
import { mergePrometheus } from "../../src/inject/post/prometheus.ts";
import type { MeshConfig } from "../../src/istio/mesh/index.ts";

/** The targets that the sidecar of a pod with this annotation is given. */
function targetsOf(annotation: string): unknown {
  const metadata = { annotations: { "prometheus.istio.io/scrape-targets": annotation, "prometheus.io/port": "9" } };
  const pod = { metadata, spec: { containers: [{ name: "istio-proxy" }] } };
  const { spec } = mergePrometheus(pod, {} as MeshConfig, 15_020) as unknown as typeof pod;
  const [sidecar] = spec.containers as unknown as [{ env: { name: string; value: string }[] }];
  const found = sidecar.env.find(({ name }) => name === "ISTIO_PROMETHEUS_ANNOTATIONS");
  const { port, targets } = JSON.parse(found?.value ?? "{}");
  return targets ?? port;
}

test.each([
  [
    " 8080:/metrics , 9100:/custom ",
    [
      ["8080", "/metrics"],
      ["9100", "/custom"],
    ],
  ],
  ["8080:", [["8080", "/metrics"]]],
  ["8080:/metrics?foo=bar", [["8080", "/metrics?foo=bar"]]],
  ["8080:/a:b", [["8080", "/a:b"]]],
  [
    "8080,8080",
    [
      ["8080", "/metrics"],
      ["8080", "/metrics"],
    ],
  ],
])("status 78: the annotation %j is these targets", (annotation, wanted) => {
  expect(targetsOf(annotation)).toEqual(wanted.map(([port, path]) => ({ port, path })));
});

test.each(["", ",,,", ":/metrics"])("status 78: the annotation %j is none, and the usual port counts", (annotation) => {
  expect(targetsOf(annotation)).toBe("9");
});
