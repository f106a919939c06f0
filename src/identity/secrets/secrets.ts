import { AgentError, type Clock, describeError, Lifetime, systemClock, watchPaths } from "../../base/index.ts";
import type { IssuedCertificate } from "../ca/issue.ts";
import { resolveAll } from "../prepare/paths.ts";
import { findOsBundle } from "../tls/os-roots.ts";
import { readCrl } from "./crl.ts";
import { FileResources } from "./file-resources.ts";
import { startIssuer } from "./issuer.ts";
import { Listeners } from "./listeners.ts";
import { CERT_EXPIRY, CERT_ISSUED } from "./metrics.ts";
import { type Mounted, watchMounted } from "./mounted.ts";
import { parseSecretName, ROOTS, type SecretName, WORKLOAD } from "./names.ts";
import type { Secrets, SecretsOptions } from "./options.ts";
import { type Output, startOutput } from "./output.ts";
import { mergeRoots } from "./pem.ts";
import type { SecretItem } from "./secret-item.ts";
import { describeIdentity, type IdentityStatus } from "./status.ts";
import type { Workload } from "./workload.ts";

/** After new roots peers need a moment to trust them; only then is the certificate replaced. */
const REISSUE_AFTER_MS = 5_000;
const REISSUE_SPREAD_MS = 25_000;

/**
 * Starts keeping the workload's certificate: resolves once requests can be answered, not once there is a certificate,
 * because the CA may be away.
 */
export async function startSecrets(options: SecretsOptions, stop: AbortSignal): Promise<Secrets> {
  const secrets = new RunningSecrets(options, stop);
  await secrets.start();
  return secrets;
}

class RunningSecrets implements Secrets {
  readonly #options: SecretsOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #life = new Lifetime();
  readonly #closing = new AbortController();
  readonly #stop: AbortSignal;
  readonly #listeners = new Listeners();
  readonly #lookUps = new Map<string, Promise<SecretItem>>();
  readonly #certificates = new WeakMap<IssuedCertificate, SecretItem>();
  readonly #files: FileResources;
  #mounted: Mounted | undefined;
  #workload: Workload | undefined;
  #osBundle: string | undefined;
  #extraRoots: readonly string[] = [];
  #output: Output | undefined;

  constructor(options: SecretsOptions, stop: AbortSignal) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#stop = AbortSignal.any([stop, this.#closing.signal]);
    this.#files = new FileResources({
      onChange: (name) => this.#changed(name),
      debounceMs: options.debounceMs ?? 100,
      stop: this.#stop,
      log: options.log,
      metrics: options.metrics,
      clock: this.#clock,
    });
  }

  async start(): Promise<void> {
    const { cwd, files, output, crlFile, ca, tokens, log, metrics } = this.#options;
    await this.#life.own("files", this.#files);
    this.#osBundle = await findOsBundle();
    if (this.#osBundle === undefined) log.scope("cache").warn("OS CA Cert could not be found for agent");
    this.#mounted = await watchMounted({
      files: resolveAll(cwd, files),
      outputFolder: output?.folder,
      resources: this.#files,
      hasCa: ca !== undefined,
      stop: this.#stop,
      log: log.scope("cache"),
    });
    if (crlFile !== undefined) {
      const watching = watchPaths({ paths: [crlFile], onChange: () => this.#changed(ROOTS) });
      await this.#life.own("revocation list", watching);
    }
    if (ca !== undefined) {
      const parts = { clock: this.#clock, random: this.#random, onIssued: this.#onIssued.bind(this) };
      const issuer = startIssuer({ ...this.#options, ...parts, ca: { ...ca, tokens } }, this.#stop);
      this.#workload = (await this.#life.own("issuer", issuer)).workload;
      metrics.gauge(CERT_EXPIRY, () => this.#secondsLeft(), { resource_name: WORKLOAD });
      metrics.gauge(CERT_ISSUED, () => {
        const issued = this.#workload?.current;
        return issued && issued.createdAtMs / 1_000;
      });
    }
    if (output !== undefined) {
      const parts = { log, metrics, clock: this.#clock, collect: () => this.#collect() };
      this.#output = await this.#life.own("output", startOutput(output, parts, this.#stop));
    }
    const warming = this.#warmUp();
    this.#life.defer("warm-up", () => warming);
  }

  /** Requests at the same time share one look-up, so that a storm of streams does not become one of reads. */
  get(name: string): Promise<SecretItem> {
    const running = this.#lookUps.get(name);
    if (running !== undefined) return running;
    const lookUp = this.#lookUp(name).finally(() => {
      if (this.#lookUps.get(name) === lookUp) this.#lookUps.delete(name);
    });
    this.#lookUps.set(name, lookUp);
    return lookUp;
  }

  async #lookUp(name: string): Promise<SecretItem> {
    const parsed = this.#parse(name);
    switch (parsed.kind) {
      case "workload":
        return this.#certificate();
      case "roots":
        return this.#rootsItem(await this.#ownRoots());
      case "file":
        return this.#files.get(name, parsed.source);
      case "unknown":
        throw new AgentError("SECRET_UNKNOWN", `Cannot serve secret "${name}": there is no secret of that name`);
    }
  }

  subscribe(name: string, listener: () => void): () => void {
    const parsed = this.#parse(name);
    if (parsed.kind !== "file") return this.#listeners.add(name, listener);
    return this.#listeners.add(name, listener, {
      onFirst: () => this.#files.want(name, parsed.source),
      onLast: () => void this.#files.forget(name), // closing a watch does not fail
    });
  }

  setExtraRoots(roots: readonly string[]): void {
    if (roots.join("\n") === this.#extraRoots.join("\n")) return;
    this.#extraRoots = [...roots];
    this.#changed(ROOTS);
    this.#workload?.reissueIn(REISSUE_AFTER_MS + this.#random() * REISSUE_SPREAD_MS);
  }

  status(): IdentityStatus {
    const error = this.#workload?.lastError;
    return describeIdentity({
      issued: this.#workload?.current,
      mounted: this.#files.lastGood(WORKLOAD),
      roots: this.#merged(rootsOf(this.#files.lastGood(ROOTS)) ?? this.#workload?.current?.root ?? ""),
      nextRotationMs: this.#workload?.nextRotationMs,
      lastError: error === undefined ? undefined : describeError(error),
      failingSinceMs: this.#workload?.failingSinceMs,
      token: this.#options.tokens.state(),
      tokenClaims: this.#options.tokens.claims(),
      isTokenNeeded: this.#workload !== undefined,
      files: this.#files.status(),
      outputProblem: this.#output?.problem,
      nowMs: this.#clock.now(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new AgentError("STOPPED", "The agent is stopping"));
    await this.#life[Symbol.asyncDispose]();
  }

  async #certificate(): Promise<SecretItem> {
    const mounted = await this.#mounted?.certificate();
    return mounted ?? this.#certificateItem(await this.#askWorkload("returned workload certificate from cache"));
  }

  async #ownRoots(): Promise<string | Uint8Array> {
    const mounted = await this.#mounted?.roots();
    return mounted ?? (await this.#askWorkload("returned workload trust anchor from cache")).root;
  }

  async #askWorkload(hit: string): Promise<IssuedCertificate> {
    if (this.#workload === undefined) {
      throw new AgentError(
        "SECRET_UNAVAILABLE",
        "ca client is nil: certificates come from files only, and there are none",
      );
    }
    const log = this.#options.log.scope("cache");
    if (this.#workload.current !== undefined) log.info(hit, { ttl: `${Math.round(this.#secondsLeft() ?? 0)}s` });
    return this.#workload.get();
  }

  async #rootsItem(bundle: string | Uint8Array): Promise<SecretItem> {
    const crl = await readCrl(this.#options.crlFile, this.#options.log.scope("cache"));
    const roots = Buffer.from(this.#merged(bundle));
    return { kind: "roots", name: ROOTS, roots, ...(crl === undefined ? {} : { crl }) };
  }

  #merged(bundle: string | Uint8Array): string {
    return mergeRoots([bundle, ...this.#extraRoots]);
  }

  #parse(name: string): SecretName {
    return parseSecretName(name, { cwd: this.#options.cwd, osBundle: this.#osBundle });
  }

  #onIssued(issued: IssuedCertificate, before: IssuedCertificate | undefined): void {
    if (issued.root !== before?.root) {
      this.#options.log.scope("cache").info("Root cert has changed");
      this.#notify(ROOTS); // before the certificate: who trusts it should come first
    }
    if (before !== undefined) this.#notify(WORKLOAD);
    this.#output?.refresh();
  }

  #notify(name: string): void {
    this.#lookUps.delete(name); // one that is under way may still have read the old version
    this.#listeners.notify(name);
  }

  #changed(name: string): void {
    this.#notify(name);
    if (name === WORKLOAD || name === ROOTS) this.#output?.refresh();
  }

  /** Asks the CA before anyone else does, unless mounted files make that needless. */
  async #warmUp(): Promise<void> {
    if ((await this.#mounted?.warmUp()) === true) return;
    this.#workload?.get().catch(() => undefined); // logged by the workload, which goes on trying
  }

  /** What there is now, for the output folder. */
  async #collect(): Promise<SecretItem[]> {
    const issued = this.#workload?.current;
    const certificate = this.#files.lastGood(WORKLOAD) ?? (issued && this.#certificateItem(issued));
    const bundle = rootsOf(this.#files.lastGood(ROOTS)) ?? issued?.root;
    const roots = bundle === undefined ? undefined : await this.#rootsItem(bundle);
    return [certificate, roots].filter((item) => item !== undefined);
  }

  /** One object for each certificate: what is made of it for one stream serves all. */
  #certificateItem(issued: IssuedCertificate): SecretItem {
    const known = this.#certificates.get(issued);
    if (known !== undefined) return known;
    const { key, notAfterMs } = issued;
    const certChain = Buffer.from(issued.certChain);
    const item: SecretItem = { kind: "certificate", name: WORKLOAD, certChain, key, notAfterMs };
    this.#certificates.set(issued, item);
    return item;
  }

  #secondsLeft(): number | undefined {
    const issued = this.#workload?.current;
    return issued === undefined ? undefined : (issued.notAfterMs - this.#clock.now()) / 1_000;
  }
}

function rootsOf(item: SecretItem | undefined): Buffer | undefined {
  return item?.kind === "roots" ? item.roots : undefined;
}
