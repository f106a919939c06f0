export { OutputSource, type OutputSourceOptions } from "./output-source.ts";
export { type Passing, passOn, settleOutput } from "./pass-on.ts";
export { Tail } from "./tail.ts";
