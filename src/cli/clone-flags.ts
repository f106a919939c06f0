import { JSON_FLAG } from "./agent-place.ts";
import { CLUSTER_FLAGS, YES_FLAG } from "./cluster-words.ts";
import { RUN_FLAGS } from "./run-words.ts";

/** The flags of `clone`, beside those of `proxy`. */
export const CLONE_FLAGS = [
  {
    name: "namespace",
    shorthand: "n",
    type: "string",
    default: undefined,
    help: "Namespace of the pod; default: that of the context",
    value: "NAME",
  },
  {
    name: "revision",
    type: "string",
    default: undefined,
    help: "Which istiod; default: the pod's",
    value: "NAME",
  },
  {
    name: "dry-run",
    type: "bool",
    default: false,
    help: "Print what would be presented and what is changed, then stop",
  },
  {
    name: "register",
    type: "bool",
    default: false,
    help: "Also clone a proxy that registers itself as an endpoint of a WorkloadGroup",
  },
  YES_FLAG,
  ...RUN_FLAGS,
  ...CLUSTER_FLAGS,
  JSON_FLAG,
] as const;
