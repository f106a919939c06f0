import { AgentError, describeError, isAbsent, readTextFile, Secret } from "../../base/index.ts";

/** No header carries more. */
const MOST_BYTES = 1_024 * 1_024;

/**
 * Reads a token file now, without surrounding white space; undefined when it holds nothing else.
 * Rejects with TOKEN_UNREADABLE, whose message says what stands there instead, or who may read it.
 */
export async function readTokenFile(path: string): Promise<Secret | undefined> {
  try {
    const text = (await readTextFile(path, { mostBytes: MOST_BYTES })).trim();
    return text === "" ? undefined : new Secret(text);
  } catch (error) {
    throw new AgentError(
      "TOKEN_UNREADABLE",
      `Cannot read the token "${path}": ${isAbsent(error) ? "the file does not exist" : describeError(error)}`,
      {
        hint: "Check that the token volume is mounted and readable for the user the agent runs as",
      },
    );
  }
}
