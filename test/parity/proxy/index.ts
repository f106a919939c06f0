import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CLUSTER_FILES } from "../../cluster/binaries.ts";
import { createTestCa } from "../../support/test-ca.ts";
import type { Subject } from "../subject.ts";
import type { GivenFile, ProxyInput } from "./input.ts";
import { proxyInputs } from "./inputs/index.ts";
import { openLane } from "./lane.ts";
import { REASONS } from "./reasons.ts";

/** `pilot-agent proxy`, up to the Envoy that it starts, and its end. `binaries` is the folder of what was built of Istio. */
export async function proxySubject(binaries: string): Promise<Subject<ProxyInput>> {
  const given = { files: await baseFiles(binaries), pems: await pems() };
  return {
    title: "pilot-agent proxy",
    about: [
      "`npm run parity -- proxy` starts Istio's own `pilot-agent proxy` and `pilotboat proxy` with the same inputs, one after the",
      "other in the same place, with a program in Envoy's place that notes how it was started.",
    ],
    areas: {
      node: "node of the bootstrap: id, cluster, locality, metadata",
      bootstrap: "all else in the bootstrap",
      arguments: "Envoy's command line",
      environment: "Envoy's variables, working directory, descriptors, user and signals",
      files: "files and sockets while Envoy runs, with modes",
      exit: "whether Envoy was started, exit code, what the error is about",
      left: "files after the end, with modes and contents",
      "left early": "the same, where no Envoy was started",
    },
    reasons: REASONS,
    usualCount: 100,
    inputs: proxyInputs,
    openLane: () => openLane(given),
  };
}

/** What an injected pod has. */
async function baseFiles(binaries: string): Promise<Record<string, GivenFile>> {
  const template = await readFile(join(binaries, CLUSTER_FILES.bootstrapTemplate), "utf8");
  return {
    "var/lib/istio/envoy/envoy_bootstrap_tmpl.json": template,
    "var/run/secrets/istio/root-cert.pem": "{pem:root}",
    "var/run/secrets/tokens/istio-token": "a.b.c",
  };
}

async function pems(): Promise<Record<string, string>> {
  const ca = await createTestCa("cluster.local");
  const { certPem, keyPem } = await ca.issue({ dns: ["web.shop"] });
  return { root: ca.certPem, chain: certPem, key: keyPem };
}
