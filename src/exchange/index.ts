export { checkHealth, type HealthAnswer } from "./check-health.ts";
export type { Destination } from "./destination.ts";
export { dial } from "./dial.ts";
export { getFollowing } from "./get-following.ts";
export { createExchanges, type Exchanges, type HeaderLists } from "./http-exchange.ts";
