import type { Metrics } from "../../src/base/index.ts";

export const noMetrics: Metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined };
