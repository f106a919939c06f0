import { AgentError } from "../base/index.ts";
import { type Programs, refusal } from "./programs.ts";

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
