import { JSON_FLAG } from "./agent-place.ts";
import { CLUSTER_FLAGS, YES_FLAG } from "./cluster-words.ts";

/** The flags of `use-local-istiod`. */
export const LOCAL_ISTIOD_FLAGS = [
  {
    name: "revision",
    type: "string",
    default: undefined,
    help: 'Whose Service: "istiod-NAME"; default: "istiod"',
    value: "NAME",
  },
  {
    name: "address",
    type: "string",
    default: undefined,
    help: "This machine's address as pods reach it; default: the one on a network that it shares with a node",
    value: "IP",
  },
  {
    name: "port",
    type: "strings",
    default: [],
    help: "Port of the local istiod for 15012, or as NAME=PORT for the Service's port of that name; default: the Service's target ports",
    value: "PORT",
  },
  { name: "restore", type: "bool", default: false, help: "Put back what a run that was killed has left" },
  ...CLUSTER_FLAGS,
  YES_FLAG,
  JSON_FLAG,
] as const;
