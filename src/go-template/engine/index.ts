export { createTemplate, type TemplateFunctions, templateLineOf } from "./template-engine.ts";
