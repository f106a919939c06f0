import { AgentError } from "../base/index.ts";
import { isCut, type Programs, refusal } from "./programs.ts";

/** Rejects with PROGRAM_NOT_FOUND, or REDIRECT_NOT_POSSIBLE for an nft before 1.0.1, whose transactions are not whole. */
export async function checkNft(programs: Programs, isCni: boolean): Promise<void> {
  const ran = await programs.run("nft", ["--version"]).catch((error: unknown) => {
    if (!(error instanceof AgentError) || error.code !== "PROGRAM_NOT_FOUND") throw error;
    const where = isCni ? "on the host filesystem" : "in the sidecar container image";
    throw new AgentError("PROGRAM_NOT_FOUND", `nativeNftables is enabled, but the nft binary is missing ${where}`, {
      cause: error,
      hint: 'Install the package "nftables" of the system, or leave --native-nftables out.',
    });
  });
  const version = ran.stdout.toString("utf8").trim();
  if (!/^nftables v(?:0\.|1\.0\.0 )/.test(version)) return;
  throw new AgentError(
    "REDIRECT_NOT_POSSIBLE",
    `Cannot use "nft": nft version must be v1.0.1 or later (got ${version})`,
  );
}

/** All of it or nothing. Rejects with REDIRECT_FAILED. */
export async function runNft(transaction: string, programs: Programs): Promise<void> {
  const ran = await programs.run("nft", ["-f", "-"], transaction);
  if (ran.code !== 0) throw refusal("Cannot change the rules", "nft", ran);
}

/** What nft lists of our tables; undefined where there are none, or no nft. Rejects with STOPPED or TIMEOUT. */
export async function listNft(programs: Programs): Promise<string | undefined> {
  const list = async (...what: string[]): Promise<string> => {
    const ran = await programs.run("nft", ["list", ...what]).catch((error: unknown) => {
      if (isCut(error)) throw error;
      return undefined;
    });
    return ran?.stdout.toString("utf8") ?? "";
  };
  const tables = (await list("tables")).matchAll(/^table inet (istio-proxy-(?:nat|mangle|raw))$/gm);
  const texts: string[] = [];
  for (const [, table = ""] of tables) texts.push(await list("table", "inet", table));
  return texts.length === 0 ? undefined : texts.join("");
}
