export type { Around } from "./around.ts";
export { findNode, lookAtNode } from "./find-node.ts";
export { type MeetingPlace, makeMeetingPlace } from "./meeting-place.ts";
export { drainOptions, hasOwnDocument, hotRestart, isProxyless, lastingEnvoyOptions, wantedEnvoy } from "./options.ts";
export { prepareBootstrap, renderFor } from "./prepare-bootstrap.ts";
export { findBinary, lookAround, namedEnvoy, outputSource, planEnvoy, spawnEnvoy } from "./spawn-envoy.ts";
export { imageTaker } from "./take-from-image.ts";
