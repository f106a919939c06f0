export { withoutClosingStreams } from "./closing-streams.ts";
export { type ChildOutput, OutputSource, type OutputSourceOptions } from "./output-source.ts";
export { type Passing, type PassOptions, passOn, settleOutput } from "./pass-on.ts";
export { Tail } from "./tail.ts";
