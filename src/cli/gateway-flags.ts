import { JSON_FLAG } from "./agent-place.ts";
import { CLUSTER_FLAGS, YES_FLAG } from "./cluster-words.ts";
import { RUN_FLAGS } from "./run-words.ts";

/** The flags of `gateway`, beside those of `proxy`. */
export const GATEWAY_FLAGS = [
  {
    name: "namespace",
    shorthand: "n",
    type: "string",
    default: undefined,
    help: "Namespace of the Gateway; default: that of the context",
    value: "NAME",
  },
  {
    name: "service-account",
    type: "string",
    default: undefined,
    help: "Service account for a Gateway without pods; default: GATEWAY-CLASS with the Gateway API, else default",
    value: "NAME",
  },
  {
    name: "revision",
    type: "string",
    default: undefined,
    help: "Which istiod; default: that of the gateway's pods",
    value: "NAME",
  },
  {
    name: "dry-run",
    type: "bool",
    default: false,
    help: "Print what would be presented and what is changed, then stop",
  },
  YES_FLAG,
  ...RUN_FLAGS,
  ...CLUSTER_FLAGS,
  JSON_FLAG,
] as const;
