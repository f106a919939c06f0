import { isUtf8 } from "node:buffer";
import { readRegularFile } from "../base/index.ts";

/**
 * The text of a YAML file: UTF-8, or UTF-16 with a byte order mark. Rejects as `readRegularFile` does, and for bytes that are
 * neither, which would become question marks. Source: go-yaml v2 readerc.go.
 */
export async function readYamlText(path: string): Promise<string> {
  const bytes = await readRegularFile(path);
  const mark = bytes.subarray(0, 2).toString("hex");
  if (mark === "fffe" || mark === "feff") {
    const even = bytes.subarray(0, bytes.length - (bytes.length % 2));
    return (mark === "fffe" ? even : even.swap16()).toString("utf16le");
  }
  if (!isUtf8(bytes)) throw new Error("it is not UTF-8 text");
  return bytes.toString("utf8");
}
