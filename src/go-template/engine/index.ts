export { sprint } from "../language/format.ts";
export { goFunctions, type TemplateFunctions } from "../language/functions.ts";
export { encodeJson } from "../language/go-json.ts";
export { createTemplate, templateLineOf } from "./template-engine.ts";
