import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Texts of a certificate and of a key, as they are met in the wild; `refused` is what is said of those that cannot be used. */
export interface OddPair {
  readonly what: string;
  readonly certificate: string;
  readonly key: string;
  readonly refused?: string;
}

/** Made with openssl, each kind of key once. Which of them Go's tls.X509KeyPair takes is in docs/go-habits.md. */
export function makeOddPairs(): readonly OddPair[] {
  const folder = mkdtempSync(join(tmpdir(), "pb-keys-"));
  const openssl = (words: string): void => {
    execFileSync("openssl", words.split(" "), { cwd: folder, stdio: "ignore" });
  };
  const text = (name: string): string => readFileSync(join(folder, name), "utf8");
  try {
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout rsa.k8 -subj /CN=rsa -days 9 -out rsa.c");
    openssl(
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.k8 -subj /CN=ec -days 9 -out ec.c",
    );
    openssl("rsa -in rsa.k8 -traditional -out rsa.k1");
    openssl("ec -in ec.k8 -out ec.sec1");
    openssl("ecparam -name prime256v1 -out ec.params");
    openssl("pkcs8 -topk8 -in ec.k8 -out ec.enc8 -passout pass:x");
    openssl("rsa -in rsa.k8 -traditional -aes128 -passout pass:x -out rsa.enc1");
    return pairsOf(text);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pairsOf(text: (name: string) => string): readonly OddPair[] {
  const [ec, rsa, k8, sec1] = [text("ec.c"), text("rsa.c"), text("ec.k8"), text("ec.sec1")];
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  return [
    { what: "PKCS#8, RSA", certificate: rsa, key: text("rsa.k8") },
    { what: "PKCS#1", certificate: rsa, key: text("rsa.k1") },
    {
      what: "PKCS#1 that is called PKCS#8",
      certificate: rsa,
      key: text("rsa.k1").replaceAll("RSA PRIVATE", "PRIVATE"),
    },
    {
      what: "PKCS#8 that is called PKCS#1",
      certificate: rsa,
      key: text("rsa.k8").replaceAll("PRIVATE", "RSA PRIVATE"),
    },
    { what: "PKCS#8, EC", certificate: ec, key: k8 },
    { what: "SEC 1", certificate: ec, key: sec1 },
    { what: "SEC 1 after its parameters", certificate: ec, key: text("ec.params") + sec1 },
    { what: "SEC 1 that is called PKCS#8", certificate: ec, key: sec1.replaceAll("EC PRIVATE", "PRIVATE") },
    { what: "CRLF", certificate: ec.replaceAll("\n", "\r\n"), key: k8.replaceAll("\n", "\r\n") },
    { what: "no last newline", certificate: ec.trimEnd(), key: k8.trimEnd() },
    { what: "text before", certificate: `text\n${ec}`, key: `Bag Attributes\n  friendlyName: x\n${k8}` },
    { what: "a byte order mark", certificate: `\uFEFF${ec}`, key: `\uFEFF${k8}` },
    { what: "both in one file", certificate: ec + k8, key: ec + k8 },
    { what: "both in one file, the key first", certificate: k8 + ec, key: k8 + ec },
    { what: "two keys, the right one first", certificate: ec, key: k8 + text("rsa.k8") },
    { what: "two keys, the wrong one first", certificate: ec, key: text("rsa.k8") + k8, refused: "does not belong" },
    { what: "another key", certificate: ec, key: text("rsa.k8"), refused: "does not belong" },
    { what: "an encrypted key", certificate: ec, key: text("ec.enc8"), refused: "the key is encrypted" },
    { what: "a key encrypted as of old", certificate: rsa, key: text("rsa.enc1"), refused: "the key is encrypted" },
    { what: "two certificates, the wrong one first", certificate: rsa + ec, key: k8, refused: "does not belong" },
    { what: "a broken certificate in the chain", certificate: ec + broken, key: k8, refused: "holds no certificate" },
    { what: "a chain that is cut off", certificate: ec + rsa.slice(0, 200), key: k8, refused: "no END line" },
    { what: "swapped files", certificate: k8, key: ec, refused: "are the two files swapped?" },
    { what: "an empty certificate", certificate: "", key: k8, refused: "it holds no certificate" },
    { what: "an empty key", certificate: ec, key: "", refused: "it holds no private key" },
  ];
}
