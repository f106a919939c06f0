export { DELTA, SOTW, type Variant } from "../proto/ads-variant.ts";
