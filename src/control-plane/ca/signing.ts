import type { KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { join } from "node:path";
import { AgentError, parsePrivateKey, Secret, writeFileAtomically } from "../../base/index.ts";
import { createTokenIssuer, createTokenKey, type TokenIssuer, type TokenSettings } from "../callers/tokens.ts";
import { type Authority, createAuthority, createRoot } from "./authority.ts";
import { readCaMaterial, readIfThere, writeCaMaterial } from "./ca-material.ts";
import type { AltName } from "./certificate.ts";

/** PEM texts of a server. */
export interface ServerTls {
  readonly chain: string;
  readonly key: Secret;
  /** Whose client certificates count. */
  readonly roots: string;
}

export interface SigningOptions {
  readonly trustDomain: string;
  /** Where the server listens; a certificate is made for that name, too. */
  readonly host: string;
  /** Keeps root and token key over restarts. Default: in memory. */
  readonly caFolder?: string;
  readonly tokens?: TokenSettings;
}

/** The keys of a control plane: whose certificates and tokens count, now. */
export interface Signing {
  readonly tokens: TokenIssuer;
  authority(): Authority;
  serverTls(): ServerTls;
  /** Signs with a new root from now on. */
  rotate(rotation: RootRotation): Promise<void>;
}

export interface RootRotation {
  /**
   * True: old and new root are trusted side by side, and the server keeps its certificate, so that who knows just the
   * old root still gets in. False: the old root is dropped at once.
   */
  readonly isOverlapping: boolean;
}

/** Reads or makes root and token key. Rejects with CA_FOLDER_INVALID, FILE_UNREADABLE or FILE_UNWRITABLE. */
export async function createSigning(options: SigningOptions): Promise<Signing> {
  const { trustDomain, caFolder, host } = options;
  const names = serverNames(host);
  let authority = createAuthority(await readOrMake(options));
  let server = authority.issueServer(names);
  const tokens = createTokenIssuer(await tokenKey(caFolder), options.tokens);
  return {
    tokens,
    authority: () => authority,
    serverTls: () => ({ ...server, roots: authority.material.roots }),
    async rotate({ isOverlapping }) {
      const fresh = createRoot(trustDomain);
      const roots = isOverlapping ? `${fresh.roots}${authority.material.roots}` : fresh.roots;
      const next = createAuthority({ ...fresh, roots });
      if (!isOverlapping) server = next.issueServer(names);
      if (caFolder !== undefined) await writeCaMaterial(caFolder, next.material);
      authority = next;
    },
  };
}

async function readOrMake({ caFolder, trustDomain }: SigningOptions) {
  if (caFolder === undefined) return createRoot(trustDomain);
  const kept = await readCaMaterial(caFolder);
  if (kept !== undefined) return kept;
  const made = createRoot(trustDomain);
  await writeCaMaterial(caFolder, made);
  return made;
}

const TOKEN_KEY_FILE = "token-key.pem";

async function tokenKey(folder: string | undefined): Promise<Secret> {
  if (folder === undefined) return createTokenKey();
  const path = join(folder, TOKEN_KEY_FILE);
  const kept = await readIfThere(path);
  if (kept !== undefined) return readTokenKey(kept, path);
  const made = createTokenKey();
  await writeFileAtomically(path, made.reveal());
  return made;
}

function readTokenKey(pem: string, path: string): Secret {
  const parsed = parsePrivateKey(pem);
  const reason = typeof parsed === "string" ? parsed : whyNoTokenKey(parsed.key);
  if (typeof parsed !== "string" && reason === undefined) return new Secret(parsed.pem);
  throw new AgentError("CA_FOLDER_INVALID", `Cannot sign tokens with "${path}": ${reason}`, {
    hint: "Remove the file, and a new key is made",
  });
}

function whyNoTokenKey({ asymmetricKeyDetails }: KeyObject): string | undefined {
  return asymmetricKeyDetails?.namedCurve === "prime256v1" ? undefined : "the key is of another kind than P-256";
}

/** Agents expect the first name also when they connect to `localhost`. Source: istio/istio pilot/pkg/grpc/tls.go. */
function serverNames(host: string): readonly AltName[] {
  const dns = ["istiod.istio-system.svc", "localhost"];
  const ips = ["127.0.0.1", "::1"];
  const own = isIP(host) === 0 ? { dns: host } : { ip: host };
  const isKnown = [...dns, ...ips, "0.0.0.0", "::"].includes(host);
  return [...dns.map((name) => ({ dns: name })), ...ips.map((ip) => ({ ip })), ...(isKnown ? [] : [own])];
}
