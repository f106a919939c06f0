import { homedir } from "node:os";
import { join } from "node:path";
import { AgentError, describeError, FileProblem, isAbsent, readTextFile, Secret } from "../base/index.ts";
import { runProgram } from "../host/index.ts";

/** A login for a registry. */
export type Credentials =
  | { readonly kind: "password"; readonly user: string; readonly password: Secret }
  /** An OAuth refresh token, which the registry's token service exchanges. */
  | { readonly kind: "identity"; readonly token: Secret };

/** Finds what there is for a registry (`host` or `host:port`); undefined for an anonymous request. */
export type FindCredentials = (registry: string, stop: AbortSignal) => Promise<Credentials | undefined>;

export interface DockerConfigOptions {
  /** `DOCKER_CONFIG` names its folder, else `~/.docker`; PATH leads to the credential helpers. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called when a helper fails; the request is then anonymous, as with Docker. */
  readonly onNote: (line: string) => void;
}

/**
 * What `docker login` has left: entries of Docker's `config.json`, and its credential helpers (`credHelpers`, `credsStore`).
 * The file is read when it is first needed. Finding rejects with FILE_UNREADABLE.
 */
export function dockerCredentials({ env, onNote }: DockerConfigOptions): FindCredentials {
  const file = join(env.DOCKER_CONFIG || join(env.HOME || homedir(), ".docker"), "config.json");
  return async (registry, stop) => {
    const config = parseDockerConfig(await readConfig(file), file);
    const helper = config.helperOf(registry);
    if (helper === undefined) return config.find(registry);
    const found = await askHelper(helper, serverName(registry), env, stop).catch((error: unknown) => {
      stop.throwIfAborted();
      onNote(
        `Warning: docker-credential-${helper} failed, so "${registry}" is asked without credentials: ${describeError(error)}`,
      );
      return undefined;
    });
    return found ?? config.find(registry);
  };
}

/** The content of a `config.json`, also of a Kubernetes pull secret (`.dockerconfigjson`). */
export interface DockerConfig {
  find(registry: string): Credentials | undefined;
  /** Name of the credential helper that keeps what there is for a registry. */
  helperOf(registry: string): string | undefined;
}

/** Reads the text of a Docker configuration; `from` is its name for errors. Rejects with FILE_UNREADABLE. */
export function parseDockerConfig(text: string, from: string): DockerConfig {
  const { auths, credHelpers, credsStore } = parseObject(text, from);
  const entries = Object.entries(asObject(auths)).map(([name, entry]) => ({ registry: hostOf(name), entry }));
  return {
    find(registry) {
      const { entry } = entries.find((one) => one.registry === hostOf(serverName(registry))) ?? {};
      return entry === undefined ? undefined : readEntry(asObject(entry));
    },
    helperOf(registry) {
      const named = Object.entries(asObject(credHelpers)).find(
        ([name]) => hostOf(name) === hostOf(serverName(registry)),
      );
      const helper = named?.[1] ?? credsStore;
      return typeof helper === "string" && /^[\w.-]+$/.test(helper) ? helper : undefined;
    },
  };
}

/** What Docker calls its own registry. */
const DOCKER_HUB = "https://index.docker.io/v1/";

function serverName(registry: string): string {
  return registry === "docker.io" ? DOCKER_HUB : registry;
}

/** Entries are hosts, or URLs of old. */
function hostOf(name: string): string {
  return name
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "")
    .toLowerCase();
}

async function readConfig(file: string): Promise<string> {
  return readTextFile(file).catch((error: unknown) => {
    if (isAbsent(error)) return "{}";
    const why = error instanceof FileProblem ? error.message : describeError(error);
    throw unreadable(file, why, error);
  });
}

function parseObject(text: string, from: string): Record<string, unknown> {
  try {
    return asObject(JSON.parse(text));
  } catch {
    throw unreadable(from, "it is not JSON"); // the parser would quote what may be a password
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function unreadable(file: string, why: string, cause?: unknown): AgentError {
  return new AgentError("FILE_UNREADABLE", `Cannot read the credentials of registries in "${file}": ${why}`, {
    hint: "Mend it, or let DOCKER_CONFIG name another folder",
    cause,
  });
}

function readEntry({ auth, username, password, identitytoken }: Record<string, unknown>): Credentials | undefined {
  if (typeof identitytoken === "string" && identitytoken !== "") {
    return { kind: "identity", token: new Secret(identitytoken) };
  }
  const pair =
    typeof auth === "string" ? Buffer.from(auth, "base64").toString("utf8") : `${username ?? ""}:${password ?? ""}`;
  const colon = pair.indexOf(":");
  if (colon <= 0) return undefined;
  return {
    kind: "password",
    user: pair.slice(0, colon),
    password: new Secret(pair.slice(colon + 1).replace(/\0+$/, "")),
  };
}

const HELPER_LIMIT_MS = 30_000;
/** A helper that has nothing says so and ends with 1. Source: github.com/docker/docker-credential-helpers credentials/error.go. */
const NOT_FOUND = /credentials not found/i;
/** The user name that marks an identity token. */
const TOKEN_USER = "<token>";

/** Runs `docker-credential-NAME get`. Source: docker-credential-helpers, "Development". */
async function askHelper(
  helper: string,
  server: string,
  env: DockerConfigOptions["env"],
  stop: AbortSignal,
): Promise<Credentials | undefined> {
  const options = { env, stop, limitMs: HELPER_LIMIT_MS, stdin: { text: server } };
  const ran = await runProgram(`docker-credential-${helper}`, ["get"], options).catch((error: unknown) => {
    throw error instanceof AgentError && error.code === "PROGRAM_NOT_FOUND" ? new Error("it is not on PATH") : error;
  });
  const stdout = ran.stdout.toString("utf8");
  if (ran.code === 0) return readHelper(stdout);
  if (NOT_FOUND.test(stdout)) return undefined;
  const said = ran.stderr.trim() || stdout.trim(); // a failed helper prints its error, not a secret
  throw new Error(said.slice(0, 200) || `it exited with ${ran.code ?? ran.signal}`);
}

function readHelper(stdout: string): Credentials | undefined {
  const { Username: user, Secret: secret } = parseObject(stdout, "its output");
  if (typeof user !== "string" || typeof secret !== "string") return undefined;
  if (user === TOKEN_USER) return { kind: "identity", token: new Secret(secret) };
  return { kind: "password", user, password: new Secret(secret) };
}
