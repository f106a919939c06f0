export type { Reload, Reloader, ReloadReport } from "./reload.ts";
export { watchConfig } from "./watch-config.ts";
