import { JSON_FLAG } from "./agent-place.ts";
import { CLUSTER_FLAGS } from "./cluster-words.ts";

/** The flags of `credentials`. */
export const CREDENTIALS_FLAGS = [
  {
    name: "namespace",
    shorthand: "n",
    type: "string",
    default: undefined,
    help: "Namespace of the service account; default: that of the context",
    value: "NAME",
  },
  {
    name: "service-account",
    type: "string",
    default: "default",
    help: "Service account to get a token of",
    value: "NAME",
  },
  {
    name: "duration",
    type: "string",
    default: "12h",
    help: "Lifetime of the token to ask for, at least 10m",
    value: "TIME",
  },
  {
    name: "audience",
    type: "string",
    default: "istio-ca",
    help: "Audience of the token, one of istiod's TOKEN_AUDIENCES",
    value: "NAME",
  },
  {
    name: "pod",
    type: "string",
    default: undefined,
    help: "Tie the token to this pod: it ends with it",
    value: "NAME",
  },
  { name: "run-folder", type: "string", default: ".", help: "Where the sidecar runs", value: "FOLDER" },
  { name: "keep", type: "bool", default: false, help: "Stay, and renew them at half of their lifetime" },
  ...CLUSTER_FLAGS,
  JSON_FLAG,
] as const;
