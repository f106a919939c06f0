import { AgentError, describeError, type ErrorCode, systemCode } from "../base/index.ts";
import type { KubeAnswer } from "./call.ts";
import { describeResource, type KubeResource, kindOf, rbacName } from "./resource.ts";

/** Whom we ask, for messages. */
export interface KubeIdentity {
  /** Of the kubeconfig. */
  readonly context: string;
  /** URL. */
  readonly server: string;
  readonly explain: () => { readonly reason: string | undefined; readonly hint: string };
}

export interface KubeAttempt {
  /** As RBAC names it. */
  readonly verb: "get" | "list" | "create" | "patch" | "delete";
  readonly what: KubeResource;
}

const DOING = { get: "read", list: "list", create: "create", patch: "change", delete: "delete" } as const;

/** What could not be done: `create a token of service account "web" in namespace "shop"`. */
function describeAttempt({ verb, what }: KubeAttempt): string {
  if (what.subresource === "token") return `create a token of ${describeResource(what)}`;
  if (what.subresource === "portforward") return `forward a port to ${describeResource(what)}`;
  return `${DOING[verb]} ${describeResource(what)}`;
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  401: "KUBE_UNAUTHENTICATED",
  403: "KUBE_FORBIDDEN",
  404: "KUBE_NOT_FOUND",
  409: "KUBE_CONFLICT",
};

/** An answer that is no success, for people. `near` is what there is instead of something that was not found. */
export function refusal(
  attempt: KubeAttempt,
  answer: KubeAnswer,
  who: KubeIdentity,
  near: readonly string[] = [],
): AgentError {
  const said = messageOf(answer);
  const code = CODES[answer.status] ?? "KUBE_REFUSED";
  const cannot = `Cannot ${describeAttempt(attempt)}`;
  switch (code) {
    case "KUBE_UNAUTHENTICATED": {
      const { reason, hint } = who.explain();
      const found = reason ?? `it answered 401 "${said}"`;
      return new AgentError(code, `${cannot}: the API server of context "${who.context}" does not know us: ${found}`, {
        hint,
      });
    }
    case "KUBE_FORBIDDEN":
      return forbidden(cannot, attempt, said, who);
    case "KUBE_NOT_FOUND": {
      const found =
        near.length === 0 ? `there is none` : `there is none; there is ${near.map((one) => `"${one}"`).join(", ")}`;
      const server = `context "${who.context}"`;
      if (!/ not found$/.test(said))
        return new AgentError("KUBE_REFUSED", `${cannot}: ${server} answered 404 "${said}"`);
      return new AgentError(code, `${cannot}: ${found} (${server})`, notFoundHint(attempt.what, near));
    }
    case "KUBE_CONFLICT":
      return new AgentError(code, `${cannot}: the API server of context "${who.context}" answered 409 "${said}"`, {
        hint: "Somebody else changed it; try again",
      });
    default:
      return new AgentError(
        code,
        `${cannot}: the API server of context "${who.context}" answered ${answer.status} "${said}"`,
      );
  }
}

function forbidden(cannot: string, { verb, what }: KubeAttempt, said: string, who: KubeIdentity): AgentError {
  const user = /User "([^"]+)"/.exec(said)?.[1];
  const group = what.apiVersion?.includes("/") ? what.apiVersion.split("/")[0] : "";
  const rule = `apiGroups: ["${group}"], resources: ["${rbacName(what)}"], verbs: ["${verb}"]`;
  const where = what.namespace === undefined ? "a ClusterRole" : `a Role in namespace "${what.namespace}"`;
  const isRbac = / cannot [a-z]+ resource /.test(said);
  const found = isRbac
    ? `${user === undefined ? "the user" : `user "${user}"`} of context "${who.context}" may not "${verb}" "${rbacName(what)}"`
    : `the API server of context "${who.context}" answered 403 "${said}"`;
  return new AgentError(
    "KUBE_FORBIDDEN",
    `${cannot}: ${found}`,
    isRbac ? { hint: `It takes ${where} with ${rule}` } : {},
  );
}

/** Something was not found because its namespace is not there. */
export function noNamespace(
  attempt: KubeAttempt,
  namespace: string,
  near: readonly string[],
  { context }: KubeIdentity,
): AgentError {
  const text = `Cannot ${describeAttempt(attempt)}: there is no namespace "${namespace}" (context "${context}")`;
  return new AgentError("KUBE_NOT_FOUND", text, notFoundHint({ resource: "namespaces", name: namespace }, near));
}

function notFoundHint(what: KubeResource, near: readonly string[]): { readonly hint?: string } {
  const [first] = near;
  if (first === undefined) return {};
  return { hint: `Did you mean ${kindOf(what)} "${first}"?` };
}

/** The API server's own words; what is no Status comes from somebody in between. */
function messageOf({ body }: KubeAnswer): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // a proxy's page
  }
  return body.trim().split("\n")[0]?.slice(0, MOST_SAID) ?? "";
}

const MOST_SAID = 200;

/** A request without an answer, for people; what is an AgentError by then stays one. */
export function unreachable(attempt: KubeAttempt, error: unknown, who: KubeIdentity): AgentError {
  if (error instanceof AgentError) return error;
  const text = `Cannot ${describeAttempt(attempt)}: the API server of context "${who.context}" (${who.server}) cannot be reached: ${describeError(error)}`;
  return new AgentError("KUBE_UNREACHABLE", text, { hint: transportHint(error, who), cause: error });
}

const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|self.signed certificate|unable to (verify|get)/i;

function transportHint(error: unknown, { context }: KubeIdentity): string {
  const text = `${systemCode(error) ?? ""} ${describeError(error)}`;
  if (UNTRUSTED.test(text)) return `Its certificate is not signed by the certificate authority of context "${context}"`;
  if (/CERT_HAS_EXPIRED|certificate has expired/i.test(text))
    return "Its certificate has expired, or this machine's clock is wrong";
  if (/ALTNAME/i.test(text)) return "Its certificate is for another name: see tls-server-name in the kubeconfig";
  if (/alert/i.test(text)) return "It refuses the client certificate of the kubeconfig";
  if (/proxy/i.test(text)) return "See proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY";
  return "Is the cluster running, and does this machine reach it (VPN, proxy)?";
}
