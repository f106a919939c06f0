import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findDebianProgram } from "./debian-program.ts";
import { freePorts } from "./ports.ts";
import type { IssuedCertificate } from "./test-ca.ts";

/** Debian's `docker-registry`, as `findDebianProgram` has it. */
export async function findDockerRegistry(): Promise<string | undefined> {
  return (await findDebianProgram("docker-registry"))?.file;
}

export interface RegistryWords {
  readonly tls?: IssuedCertificate;
  /** Lines of an htpasswd file, with bcrypt. */
  readonly htpasswd?: string;
  readonly token?: {
    readonly realm: string;
    readonly service: string;
    readonly issuer: string;
    readonly rootPem: string;
  };
}

export interface DockerRegistry extends AsyncDisposable {
  readonly address: string;
  /** Where its blobs are. */
  readonly storage: string;
  log(): string;
}

/** Starts a real registry on a free port of 127.0.0.1. `storage` lets two share what they have. */
export async function startDockerRegistry(words: RegistryWords = {}, storage?: string): Promise<DockerRegistry> {
  const binary = await findDockerRegistry();
  if (binary === undefined) throw new Error("there is no docker-registry");
  const folder = await mkdtemp(join(tmpdir(), "pb-registry-"));
  const root = storage ?? join(folder, "storage");
  const [port] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  const config = {
    ...configOf(words, folder),
    storage: { filesystem: { rootdirectory: root }, delete: { enabled: true } },
  };
  await writeFile(join(folder, "config.yml"), JSON.stringify({ ...config, http: { ...config.http, addr: address } }));
  await writeFiles(words, folder);
  const child = spawn(binary, ["serve", join(folder, "config.yml")], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text));
  const ended = new Promise((resolve) => child.once("close", resolve));
  const isUp = new Promise<void>((resolve, reject) => {
    child.stderr.on("data", () => said.includes("listening on") && resolve());
    void ended.then(() => reject(new Error(`the registry has ended:\n${said}`)));
  });
  await isUp;
  return {
    address,
    storage: root,
    log: () => said,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configOf({ tls, htpasswd, token }: RegistryWords, folder: string) {
  const auth = {
    ...(htpasswd === undefined ? {} : { htpasswd: { realm: "test", path: join(folder, "htpasswd") } }),
    ...(token === undefined
      ? {}
      : {
          token: {
            realm: token.realm,
            service: token.service,
            issuer: token.issuer,
            rootcertbundle: join(folder, "token-root.pem"),
          },
        }),
  };
  return {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: false } },
    http: tls === undefined ? {} : { tls: { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") } },
    ...(Object.keys(auth).length === 0 ? {} : { auth }),
  };
}

async function writeFiles({ tls, htpasswd, token }: RegistryWords, folder: string): Promise<void> {
  const files = { "cert.pem": tls?.certPem, "key.pem": tls?.keyPem, htpasswd, "token-root.pem": token?.rootPem };
  for (const [name, content] of Object.entries(files)) {
    if (content !== undefined) await writeFile(join(folder, name), content);
  }
}
