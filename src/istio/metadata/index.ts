export { type MetadataWords, readRawMetadata } from "./raw-metadata.ts";
export {
  type MetadataValue,
  type RawMetadata,
  readTyped,
  TYPED_FIELDS,
  type TypedMetadata,
  typedTroubles,
  writeTyped,
} from "./typed-metadata.ts";
