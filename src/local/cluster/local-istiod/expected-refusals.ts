import { AgentError } from "../../../base/index.ts";

/** Somebody else was faster, or an answer was lost and the repetition met its own work. */
export function isConflict(error: unknown): boolean {
  return error instanceof AgentError && error.code === "KUBE_CONFLICT";
}

export function isMissing(error: unknown): boolean {
  return error instanceof AgentError && error.code === "KUBE_NOT_FOUND";
}

/** Another machine has it. */
export function isInUse(error: unknown): boolean {
  return error instanceof AgentError && error.code === "LOCAL_ISTIOD_IN_USE";
}

/** For `catch`: undefined in place of what is not there. */
export function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

/** For `catch` of a creation: what is there already is fine. */
export function unlessConflict(error: unknown): void {
  if (!isConflict(error)) throw error;
}
