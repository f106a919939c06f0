import { AgentError } from "../base/index.ts";
import { VERSION } from "../version.ts";

/**
 * What `use` makes of an agent's answer in JSON. Throws REQUEST_FAILED when it is no JSON object, or when `use` fails: the answer
 * may come from an agent of another version, or from another program that got the port.
 */
export function readAnswer<Answer, T>(body: string, use: (answer: Answer) => T): T {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer !== "object" || answer === null || Array.isArray(answer)) throw new Error("no object");
    return use(answer as Answer);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError(
      "REQUEST_FAILED",
      `Cannot read the answer of the agent: it is not one of pilotboat ${VERSION}`,
      {
        hint: "Restart an agent of another version; what it says as JSON is at its status port, /debug/agent",
      },
    );
  }
}
