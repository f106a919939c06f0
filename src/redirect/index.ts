export type { RedirectSettings } from "./capture.ts";
export { redirectTraffic } from "./redirect-traffic.ts";
