export type { AgentFacts } from "./model/facts.ts";
export { createPage, type Page } from "./page.ts";
