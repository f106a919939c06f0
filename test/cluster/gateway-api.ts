import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import type { KubeObject } from "./kube-api.ts";

const MODULE = "sigs.k8s.io/gateway-api";

/** The CRDs of the Gateway API, of the module that the pins of `go/` name; undefined where it was never downloaded. */
export async function gatewayApiCrds(): Promise<readonly KubeObject[] | undefined> {
  const words = ["list", "-m", "-f", "{{.Dir}}", MODULE];
  const env = { ...process.env, GOPROXY: "off" };
  const found = await promisify(execFile)("go", words, { cwd: resolve("test/cluster/go"), env }).catch(() => undefined);
  const folder = found?.stdout.trim();
  if (folder === undefined || folder === "") return undefined;
  const crds = join(folder, "config/crd/standard");
  const files = (await readdir(crds)).filter((name) =>
    /_(gateways|gatewayclasses|httproutes|referencegrants)\.yaml$/.test(name),
  );
  const texts = await Promise.all(files.map((name) => readFile(join(crds, name), "utf8")));
  return texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as KubeObject));
}
