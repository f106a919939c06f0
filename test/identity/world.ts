import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createLogger, createMetrics, type Logger, type LogLevel, type MetricsRegistry } from "../../src/base/index.ts";
import {
  type Secrets,
  type SecretsOptions,
  startSecrets,
  startTokens,
  type Tokens,
  type TokensOptions,
} from "../../src/identity/index.ts";
import { type IdentitySettings, keySpec, planIdentity, startKeyGeneration } from "../../src/identity/prepare/index.ts";
import { PATHS } from "../../src/istio/index.ts";

/** A working directory as a pod has one, with what an agent needs around it. */
export interface World extends AsyncDisposable {
  readonly cwd: string;
  readonly lines: string[];
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  readonly stop: AbortController;
  write(path: string, content: string): Promise<string>;
  tokens(options?: Partial<TokensOptions>): Tokens;
  secrets(
    endpoint: string,
    options?: Omit<Partial<SecretsOptions>, "ca"> & { ca?: Partial<NonNullable<SecretsOptions["ca"]>> | undefined },
  ): Promise<Secrets>;
}

export const SETTINGS: Omit<IdentitySettings, "cwd"> = {
  caAddress: "",
  discoveryAddress: "istiod.istio-system.svc:15012",
  isXdsPlaintext: false,
  caProvider: "Citadel",
  caRoot: "",
  xdsRoot: "",
  pilotCertProvider: "istiod",
  istiodSan: "",
  provCert: "",
  outputCerts: "",
  isFileMountedCerts: false,
  compliance: "",
  metadataFiles: {},
  hasExternalSds: false,
  isControlPlaneOptional: false,
};

export async function createWorld(levels: LogLevel = "info"): Promise<World> {
  const cwd = await mkdtemp(join(tmpdir(), "pb-identity-"));
  const lines: string[] = [];
  const log = createLogger({ write: (line) => lines.push(line), levels: new Map([["default", levels]]) });
  const metrics = createMetrics("istio_agent_");
  const stop = new AbortController();
  const owned: AsyncDisposable[] = [];
  const write = async (path: string, content: string): Promise<string> => {
    const full = join(cwd, path);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, content);
    return full;
  };
  const tokens = (options: Partial<TokensOptions> = {}): Tokens => {
    const path = join(cwd, PATHS.token);
    const started = startTokens({ fetcher: "JWT", path, trustDomain: "td", log, metrics, ...options }, stop.signal);
    owned.push(started);
    return started;
  };
  return {
    cwd,
    lines,
    log,
    metrics,
    stop,
    write,
    tokens,
    async secrets(endpoint, { ca, ...options } = {}) {
      const plan = await planIdentity({ ...SETTINGS, cwd, discoveryAddress: endpoint });
      if (plan.ca === undefined) throw new Error("this plan has no CA");
      const started = await startSecrets(
        {
          cwd,
          ca: {
            ...plan.ca,
            compliance: "",
            tokenFile: join(cwd, PATHS.token),
            clusterId: "Kubernetes",
            certSigner: "",
            headers: [],
            ttlSeconds: 86_400,
            ...ca,
          },
          keys: startKeyGeneration(
            keySpec({ rsaKeySize: 2048, eccAlgorithm: "ECDSA", eccCurve: "P256", isPkcs8: false }),
          ),
          identity: { trustDomain: "td", namespace: "ns", serviceAccount: "sa" },
          files: plan.files,
          output: undefined,
          crlFile: undefined,
          rotation: { ratio: 0.5, jitter: 0 },
          tokens: options.tokens ?? tokens(),
          log,
          metrics,
          ...options,
        },
        stop.signal,
      );
      owned.push(started);
      return started;
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      for (const part of owned.reverse()) await part[Symbol.asyncDispose]();
      await rm(cwd, { recursive: true, force: true });
    },
  };
}
