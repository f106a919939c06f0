export type { NextConfiguration, Reload, Reloader, ReloadReport } from "./reload.ts";
export { watchConfig } from "./watch-config.ts";
