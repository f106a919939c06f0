export { parseScrapeTargets, type ScrapeTarget } from "./parse-targets.ts";
