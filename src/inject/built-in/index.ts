export { BUILT_IN } from "./templates.ts";
export { builtInValues } from "./values.ts";
