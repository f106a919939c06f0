import { createPrivateKey, type KeyObject } from "node:crypto";
import { isBun } from "../../base/index.ts";
import { runProgram } from "../../host/index.ts";

/** Up to here a key is found in a fraction of a second. */
const QUICK_RSA_BITS = 2_048;

/**
 * Whether an RSA key is made by a process of its own. Finding a large one takes seconds, or minutes, on a thread that
 * nothing can interrupt, and Node's `process.exit` waits for its threads. The executable's does not.
 */
export function isLeftToChild(bits: number): boolean {
  return bits > QUICK_RSA_BITS && !isBun;
}

/** Writes a key in DER (PKCS#8) to stdout. The number of bits is its only argument. */
const PROGRAM = `process.stdout.write(require("node:crypto").generateKeyPairSync("rsa", {
  modulusLength: Number(process.argv[1]), publicExponent: 65537,
  publicKeyEncoding: { type: "spki", format: "der" }, privateKeyEncoding: { type: "pkcs8", format: "der" },
}).privateKey)`;

/** An RSA key that another Node has made; `stop` kills it. */
export async function rsaKeyOfChild(bits: number, stop: AbortSignal): Promise<KeyObject> {
  const failed = (cause: unknown): Error => new Error(`Cannot make an RSA key of ${bits} bits`, { cause });
  const args = ["-e", PROGRAM, String(bits)];
  const ran = await runProgram(process.execPath, args, { env: {}, graceMs: 0, stop }).catch((error: unknown) => {
    throw failed(error);
  });
  if (ran.code !== 0) throw failed(new Error(`the process exited with ${ran.code ?? ran.signal}: ${ran.stderr}`));
  return createPrivateKey({ key: ran.stdout, format: "der", type: "pkcs8" });
}
