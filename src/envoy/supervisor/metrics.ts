import { counter } from "../../base/index.ts";

export const ENVOY_RESTARTS = counter("envoy_restarts_total", "Restarts of Envoy after it exited by itself.");
