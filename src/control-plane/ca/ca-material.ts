import { join } from "node:path";
import { AgentError, describeError, isAbsent, readTextFile, writeFileAtomically } from "../../base/index.ts";
import { type CaMaterial, checkCaFiles, FILES } from "./check-ca-files.ts";

/**
 * Reads the signer kept in `folder`; undefined when none of its files is there. What is returned is encoded from what was
 * parsed. Rejects with CA_FOLDER_INVALID when just some are there, or when they do not fit together, and with
 * FILE_UNREADABLE.
 */
export async function readCaMaterial(folder: string): Promise<CaMaterial | undefined> {
  const texts = await Promise.all(Object.values(FILES).map((name) => readIfThere(join(folder, name))));
  if (texts.every((text) => text === undefined)) return undefined;
  const missing = Object.values(FILES).filter((_, at) => texts[at] === undefined);
  if (missing.length > 0) throw unusable(folder, `incomplete signing CA bundle, "${missing.join('", "')}" is missing`);
  const [certificate = "", key = "", chain = "", roots = ""] = texts;
  const material = checkCaFiles({ certificate, key, chain, roots }, Date.now());
  if (typeof material === "string") throw unusable(folder, material);
  return material;
}

/** Keeps the signer in `folder` for `readCaMaterial`; files are for the owner alone. Rejects with FILE_UNWRITABLE. */
export async function writeCaMaterial(folder: string, material: CaMaterial): Promise<void> {
  const chain = material.chain.length > 0 ? material.chain.join("") : material.certificate;
  await writeFileAtomically(join(folder, FILES.key), material.key.reveal());
  await writeFileAtomically(join(folder, FILES.certificate), material.certificate);
  await writeFileAtomically(join(folder, FILES.chain), chain);
  await writeFileAtomically(join(folder, FILES.roots), material.roots);
}

/** A file's text; undefined when no such file. Rejects with FILE_UNREADABLE. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readTextFile(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}

function unusable(folder: string, what: string): AgentError {
  return new AgentError("CA_FOLDER_INVALID", `Cannot use the CA in "${folder}": ${what}`);
}
