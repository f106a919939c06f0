import type { Chances } from "../../subject.ts";
import type { ProxyInput } from "../input.ts";
import { BOOTSTRAP_INPUTS } from "./bootstrap.ts";
import { inputsByChance } from "./by-chance.ts";
import { NODE_INPUTS } from "./node.ts";
import { PROXY_CONFIG_INPUTS } from "./proxy-config.ts";
import { RUNNING_INPUTS } from "./running.ts";

/** Those that somebody thought of, always in the same order, then those by chance. */
export function proxyInputs(chances: Chances): ProxyInput[] {
  return [...NODE_INPUTS, ...PROXY_CONFIG_INPUTS, ...BOOTSTRAP_INPUTS, ...RUNNING_INPUTS, ...inputsByChance(chances)];
}
