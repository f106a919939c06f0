import manifest from "../package.json" with { type: "json" };

/** The version of pilotboat, from package.json. */
export const VERSION: string = manifest.version;

/**
 * The Istio that the agent behaves like: what istiod reads as `ISTIO_VERSION` of the node, and by which it decides what the
 * proxy understands. It is that of the sources that the agent is compared with; docs/istiod.md says when another is told.
 */
export const ISTIO_VERSION = "1.31";
