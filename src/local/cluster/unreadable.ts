import { AgentError } from "../../base/index.ts";

/** What is not there, or may not be read: another source, or a default, takes its place. */
export function isUnreadable(error: unknown): error is AgentError {
  return error instanceof AgentError && ["KUBE_NOT_FOUND", "KUBE_FORBIDDEN"].includes(error.code);
}

/** For `catch`: undefined in place of what is unreadable. */
export function unlessUnreadable(error: unknown): undefined {
  if (!isUnreadable(error)) throw error;
}

/** An object that was looked for in vain, for people. */
export interface Unread {
  /** `ConfigMap "istio" in namespace "istio-system"`. */
  readonly what: string;
  readonly why: "it is not there" | "you may not read it";
}

export function unread(what: string, error: AgentError): Unread {
  return { what, why: error.code === "KUBE_NOT_FOUND" ? "it is not there" : "you may not read it" };
}
