export { withoutClosingStreams } from "./closing-streams.ts";
export { type ChildOutput, OutputSource } from "./output-source.ts";
export { type Passing, passOn, settleOutput } from "./pass-on.ts";
export { Tail } from "./tail.ts";
