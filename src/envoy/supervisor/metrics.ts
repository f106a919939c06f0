import { counter } from "../../base/index.ts";

export const ENVOY_RESTARTS = counter("envoy_restarts_total", "Starts of Envoy after one that ended by itself.");
