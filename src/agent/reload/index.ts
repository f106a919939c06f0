export type { NextConfiguration, Obstacle, Reload, Reloader, ReloadReport } from "./reload.ts";
export { watchConfig } from "./watch-config.ts";
