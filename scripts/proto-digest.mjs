import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

/** SHA-256 over the names and contents of all .proto files. */
export function protoDigest() {
  const digest = createHash("sha256");
  const files = readdirSync("proto", { recursive: true }).filter((file) => file.endsWith(".proto"));
  for (const file of files.sort()) digest.update(`${file}\n${readFileSync(`proto/${file}`, "utf8")}`);
  return digest.digest("hex");
}
