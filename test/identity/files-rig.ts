import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Secrets, type SecretsOptions, startSecrets } from "../../src/identity/index.ts";
import { keySpec, planIdentity, startKeyGeneration } from "../../src/identity/prepare/index.ts";
import { createTestCa, type IssuedCertificate } from "../support/test-ca.ts";
import { createWorld, SETTINGS, type World } from "./world.ts";

export const ca = await createTestCa();
const pairs = await Promise.all([1, 2, 3, 4].map(() => ca.issue({ dns: ["a"] })));

export interface Counter {
  readonly count: number;
}

/** Secrets from files alone, in a folder of their own. */
export interface FilesRig extends AsyncDisposable {
  readonly world: World;
  readonly secrets: Secrets;
  put(path: string, content: string): Promise<void>;
  replace(path: string, content: string): Promise<void>;
  mount(pair: IssuedCertificate): Promise<void>;
  text(name: string): Promise<string>;
  count(name: string): Counter;
  /** Serves the first pair from the files `cert` and `key`, and counts its updates. */
  watchPair(): Promise<Counter>;
}

export async function startFiles(options: Partial<SecretsOptions> = {}): Promise<FilesRig> {
  const world = await createWorld();
  await world.write("var/run/secrets/istio/root-cert.pem", ca.certPem);
  const plan = await planIdentity({ ...SETTINGS, cwd: world.cwd, isFileMountedCerts: true });
  const secrets = await startSecrets(
    {
      cwd: world.cwd,
      ca: undefined,
      keys: startKeyGeneration(keySpec({ rsaKeySize: 2048, eccAlgorithm: "ECDSA", eccCurve: "", isPkcs8: false })),
      identity: { trustDomain: "", namespace: "", serviceAccount: "" },
      files: plan.files,
      output: undefined,
      crlFile: undefined,
      rotation: { ratio: 0.5, jitter: 0 },
      debounceMs: 50,
      tokens: world.tokens(),
      log: world.log,
      metrics: world.metrics,
      ...options,
    },
    world.stop.signal,
  );
  const put = async (path: string, content: string): Promise<void> => {
    await mkdir(dirname(join(world.cwd, path)), { recursive: true });
    await writeFile(join(world.cwd, path), content);
  };
  const count = (name: string): Counter => {
    const counter = { count: 0 };
    secrets.subscribe(name, () => counter.count++);
    return counter;
  };
  return {
    world,
    secrets,
    put,
    count,
    async replace(path, content) {
      await put(`${path}.new`, content);
      await rename(join(world.cwd, `${path}.new`), join(world.cwd, path));
    },
    async mount({ certPem, keyPem }) {
      await put("etc/certs/cert-chain.pem", certPem);
      await put("etc/certs/key.pem", keyPem);
      await put("etc/certs/root-cert.pem", ca.certPem);
    },
    async text(name) {
      const item = await secrets.get(name);
      return item.kind === "roots" ? item.roots.toString().trim() : item.certChain.toString();
    },
    async watchPair() {
      await put("cert", pair(0).certPem);
      await put("key", pair(0).keyPem);
      const counter = count("file-cert:cert~key");
      await secrets.get("file-cert:cert~key");
      return counter;
    },
    async [Symbol.asyncDispose]() {
      await secrets[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

export function pair(index: number): IssuedCertificate {
  return pairs[index] as IssuedCertificate;
}
