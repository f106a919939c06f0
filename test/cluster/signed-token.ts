import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { decodeJwt, decodeProtectedHeader, type JWTHeaderParameters, SignJWT } from "jose";
import type { Cluster } from "./start-cluster.ts";

/** A token that the API server would not issue, signed with its key: one of the account with other claims. */
export async function signedToken(
  cluster: Cluster,
  account: string,
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const token = await cluster.token(account);
  const key = createPrivateKey(await readFile(cluster.accountsKey, "utf8"));
  const header = decodeProtectedHeader(token) as JWTHeaderParameters;
  return new SignJWT({ ...decodeJwt(token), ...claims }).setProtectedHeader(header).sign(key);
}
