import { dirname } from "node:path";
import { openTrustedFolder, readTrustedFile, trustedUsers, writeFileAtomically } from "../../base/index.ts";

/** Where an executable came from. Written beside it. */
export interface ImageRecord {
  readonly reference: string;
  /** Of the image's index or manifest. */
  readonly digest: string;
  readonly istioVersion?: string | undefined;
  /** Of the executable, in hexadecimal. */
  readonly executableSha256: string;
}

const RECORD = "image.json";
const MOST_RECORD_BYTES = 4_096;

/** What is noted beside an executable; undefined when there is nothing, or others could have written it. */
export async function readImageRecord(executable: string): Promise<ImageRecord | undefined> {
  try {
    await using place = await openTrustedFolder(dirname(executable), trustedUsers());
    const text = await readTrustedFile(place.at(RECORD), trustedUsers(), MOST_RECORD_BYTES);
    const found = JSON.parse(text) as Partial<ImageRecord> | null;
    const { reference, digest, executableSha256, istioVersion } = found ?? {};
    const texts = [reference, digest, executableSha256, istioVersion ?? ""];
    return texts.every((one) => typeof one === "string") ? (found as ImageRecord) : undefined;
  } catch {
    return undefined; // most executables are not out of an image
  }
}

/** Notes it in the cache's folder of the executable. */
export async function writeImageRecord(folder: string, record: ImageRecord): Promise<void> {
  await using place = await openTrustedFolder(folder, trustedUsers());
  const content = `${JSON.stringify(record, null, 2)}\n`;
  await writeFileAtomically(place.at(RECORD), content, { mode: 0o644, mayCreateFolder: false });
}
