export { askedEnvoy } from "./asked-envoy.ts";
export { cachedVersions, cacheFolder } from "./cache.ts";
export { fetchEnvoy, findOrFetchEnvoy } from "./fetch-envoy.ts";
export { fetchImageEnvoy, type TakeFromImage } from "./fetch-image.ts";
export { askVersion, type FindOptions, type FoundEnvoy, findEnvoy, locateEnvoy } from "./find-envoy.ts";
export { fetchCommand, istioImage, pinnedImage } from "./image-name.ts";
export { DEFAULT_ENVOY_VERSION, ENVOY_LOCK, type Platform, type SourceName, thisPlatform } from "./lock.ts";
export { describeProgress, type FetchNews, fetchNewsAsLines } from "./progress.ts";
