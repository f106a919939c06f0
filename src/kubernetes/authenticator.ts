import { X509Certificate } from "node:crypto";
import { AgentError, describeError, readTextFile, Secret, utcTime } from "../base/index.ts";
import { type ExecCredential, runExecPlugin } from "./exec-plugin.ts";
import type { KubeHost, KubeServer, KubeUser, SecretSource, TextSource } from "./kubeconfig.ts";

/** What goes with a request, and with the TLS connection under it. */
export interface Credentials {
  readonly headers: readonly (readonly [name: string, value: Secret])[];
  /** PEM. */
  readonly certificate: { readonly chain: string; readonly key: Secret } | undefined;
  /** How often new ones were obtained before these. */
  readonly generation: number;
}

export interface Authenticator {
  /** Files are read, and plugins run, when that is due. Rejects with KUBE_CREDENTIALS, FILE_UNREADABLE or the signal's reason. */
  credentials(signal: AbortSignal): Promise<Credentials>;
  /**
   * After a 401 to credentials of that generation: forgets what was obtained, unless that was done already for another
   * request. False when the next attempt would bring the same again.
   */
  renew(generation: number): boolean;
  /** Command of the plugin that runs now. */
  running(): string | undefined;
  /** Why the API server may have refused what was sent last, and what helps. For people. */
  explain(): { readonly reason: string | undefined; readonly hint: string };
}

/** What a plugin gave is asked for again so long before it expires. */
const EARLY_MS = 10_000;

/** One user's ways to prove who it is, in client-go's order. */
export function createAuthenticator(user: KubeUser, server: KubeServer, host: KubeHost): Authenticator {
  let obtained: Promise<ExecCredential> | undefined;
  let generation = 0;
  let running: string | undefined;
  let sent: Credentials = { headers: [], certificate: undefined, generation };
  const fromPlugin = async (signal: AbortSignal): Promise<ExecCredential | undefined> => {
    const { exec: plugin } = user;
    if (plugin === undefined) return undefined;
    const { expiresAtMs } = (await obtained?.catch(() => undefined)) ?? {};
    if (expiresAtMs !== undefined && expiresAtMs - EARLY_MS < Date.now()) obtained = undefined;
    obtained ??= (async () => {
      const caPem = server.ca === undefined ? undefined : await readSource(server.ca);
      running = plugin.command;
      return runExecPlugin({ plugin, server: { ...server, caPem }, host, signal }).finally(() => {
        running = undefined;
      });
    })();
    return obtained.catch((error: unknown) => {
      obtained = undefined;
      throw error;
    });
  };
  return {
    async credentials(signal) {
      const given = user.certificate === undefined ? undefined : await readCertificate(user.certificate);
      const token = await givenToken(user);
      const plugin = token === undefined && user.basic === undefined ? await fromPlugin(signal) : undefined;
      const bearer = token ?? plugin?.token;
      const proof = bearer === undefined ? basicHeader(user) : `Bearer ${bearer.revealText()}`;
      sent = {
        headers: [
          ...(proof === undefined ? [] : [["Authorization", new Secret(proof)] as const]),
          ...user.impersonation.map(([name, value]) => [name, new Secret(value)] as const),
        ],
        certificate: given ?? plugin?.certificate,
        generation,
      };
      return sent;
    },
    renew(refused) {
      if (user.exec === undefined) return user.tokenFile !== undefined;
      if (refused === generation) {
        obtained = undefined;
        generation++;
      }
      return true;
    },
    running: () => running,
    explain: () => explainRefusal(user, sent),
  };
}

async function givenToken(user: KubeUser): Promise<Secret | undefined> {
  if (user.tokenFile !== undefined) {
    try {
      const token = (await readTextFile(user.tokenFile)).trim();
      if (token !== "") return new Secret(token);
    } catch (error) {
      if (user.token === undefined) throw unreadable("token", user.tokenFile, error);
    }
  }
  if (user.token !== undefined) return user.token;
  const { legacyProvider } = user;
  if (legacyProvider === undefined) return undefined;
  if (legacyProvider.idToken !== undefined && !isExpired(legacyProvider.idToken)) return legacyProvider.idToken;
  const found = legacyProvider.idToken === undefined ? "has no ID token" : "has an ID token that has expired";
  throw new AgentError(
    "KUBE_CREDENTIALS",
    `Cannot use the auth-provider "${legacyProvider.name}" of user "${user.name}": it ${found}, and only an exec plugin is asked for another`,
    { hint: "Run any kubectl command, which renews it, or change the kubeconfig to an exec plugin" },
  );
}

function basicHeader({ basic }: KubeUser): string | undefined {
  if (basic === undefined) return undefined;
  return `Basic ${Buffer.from(`${basic.username}:${basic.password.revealText()}`).toString("base64")}`;
}

async function readCertificate({ chain, key }: { readonly chain: TextSource; readonly key: SecretSource }) {
  return { chain: await readSource(chain), key: await readKey(key) };
}

async function readKey(source: SecretSource): Promise<Secret> {
  return "secret" in source ? source.secret : new Secret(await readSource(source));
}

/** Rejects with FILE_UNREADABLE. */
export async function readSource(source: TextSource): Promise<string> {
  if ("text" in source) return source.text;
  try {
    return await readTextFile(source.path);
  } catch (error) {
    throw unreadable("certificate or key", source.path, error);
  }
}

function unreadable(what: string, path: string, error: unknown): AgentError {
  const text = `Cannot read the ${what} that the kubeconfig names, "${path}": ${describeError(error)}`;
  return new AgentError("FILE_UNREADABLE", text, { cause: error });
}

function explainRefusal(user: KubeUser, { headers, certificate }: Credentials) {
  const [, header] = headers.find(([name]) => name === "Authorization") ?? [];
  const bearer = /^Bearer (.*)$/s.exec(header?.revealText() ?? "")?.[1];
  const whose = user.exec === undefined ? `user "${user.name}"` : `the plugin of user "${user.name}"`;
  const expired = bearer === undefined ? certificateEnd(certificate?.chain) : tokenEnd(bearer);
  const what = bearer === undefined ? "client certificate" : "token";
  if (expired !== undefined && expired < Date.now()) {
    return { reason: `the ${what} of ${whose} has expired at ${utcTime(expired)}`, hint: renewHint(user) };
  }
  const nothing = header === undefined && certificate === undefined;
  return {
    reason: nothing ? `${whose === `user ""` ? "the context" : whose} has neither token nor certificate` : undefined,
    hint: renewHint(user),
  };
}

function renewHint({ exec, tokenFile }: KubeUser): string {
  if (exec !== undefined) return `Log in again with the tool of the plugin "${exec.command.split(/[/\\]/).at(-1)}"`;
  if (tokenFile !== undefined) return `Who writes "${tokenFile}" has to renew it`;
  return "Get new credentials for this context, as for kubectl";
}

function isExpired(token: Secret): boolean {
  return (tokenEnd(token.revealText()) ?? 0) < Date.now();
}

/** Milliseconds since the epoch, without a look at the signature; undefined for what is no JWT. */
function tokenEnd(token: string): number | undefined {
  try {
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as {
      exp?: unknown;
    };
    return typeof claims.exp === "number" ? claims.exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}

function certificateEnd(chain: string | undefined): number | undefined {
  try {
    return chain === undefined ? undefined : Date.parse(new X509Certificate(chain).validTo);
  } catch {
    return undefined;
  }
}
