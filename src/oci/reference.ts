import { AgentError } from "../base/index.ts";
import { isDigest } from "./digest.ts";

/** What an image is called by, taken apart. */
export interface ImageReference {
  /** `host` or `host:port` as it was written; `docker.io` when nothing was. */
  readonly registry: string;
  /** Path of the repository, such as `istio/proxyv2`. */
  readonly repository: string;
  /** Undefined when only a digest says which image is meant. */
  readonly tag: string | undefined;
  /** Of the image's index or manifest: the one that is meant, whatever the tag points at. */
  readonly digest: string | undefined;
}

const DEFAULT_REGISTRY = "docker.io";
const DEFAULT_TAG = "latest";
const LONGEST_REPOSITORY = 255;

// Source: OCI distribution-spec, "Pulling manifests"; github.com/distribution/reference regexp.go.
const REGISTRY = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::\d{1,5})?$/i;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Reads `[registry/]repository[:tag][@digest]` by Docker's rules: the first part names a registry when it has a dot or a
 * port or is `localhost`; without one the image is at docker.io, there with `library/` before a single name. Neither tag
 * nor digest means `latest`. Rejects with USAGE.
 */
export function parseReference(text: string): ImageReference {
  const [name = "", digest, ...more] = text.split("@");
  if (more.length > 0 || (digest !== undefined && !isDigest(digest))) {
    throw notAReference(text, "wanted sha256: and 64 hexadecimal digits in lower case behind the @");
  }
  if (/^[a-z]+:\/\//i.test(name)) throw notAReference(text, "wanted no scheme in front");
  const slash = name.indexOf("/");
  const first = name.slice(0, slash < 0 ? 0 : slash);
  const hasRegistry = /[.:]/.test(first) || first === "localhost";
  const registry = hasRegistry ? first : DEFAULT_REGISTRY;
  const [path = "", tag, ...rest] = (hasRegistry ? name.slice(slash + 1) : name).split(":");
  if (!REGISTRY.test(registry)) throw notAReference(text, `"${registry}" is no name of a registry`);
  if (rest.length > 0 || (tag !== undefined && !TAG.test(tag))) throw notAReference(text, "its tag is no tag");
  const isShort = registry === DEFAULT_REGISTRY && !path.includes("/");
  const repository = isShort ? `library/${path}` : path;
  if (!REPOSITORY.test(repository) || repository.length > LONGEST_REPOSITORY) {
    throw notAReference(text, `"${path}" is no repository: those are in lower case`);
  }
  return { registry, repository, tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined), digest };
}

/** The same in one text again: what Docker would take. */
export function formatReference({ registry, repository, tag, digest }: ImageReference): string {
  const named = tag === undefined ? "" : `:${tag}`;
  return `${registry}/${repository}${named}${digest === undefined ? "" : `@${digest}`}`;
}

function notAReference(text: string, why: string): AgentError {
  return new AgentError("USAGE", `Cannot read "${text}" as the reference of an image: ${why}`, {
    hint: "Write it as REGISTRY/REPOSITORY:TAG, or REGISTRY/REPOSITORY@sha256:DIGEST",
  });
}
