import { AgentError } from "../base/index.ts";

export async function run(): Promise<number> {
  throw new AgentError("INTERNAL", "This command is not there yet");
}
