import { AgentError } from "../../base/index.ts";
import { DEFAULT_ENVOY_VERSION, ENVOY_LOCK, thisPlatform } from "./lock.ts";

/** An image that has Istio's Envoy. */
export interface EnvoyImage {
  /** What it is called in the cache and by `--version`: `istio-1.31.0`, `image-0123456789ab`. */
  readonly name: string;
  /** `[registry/]repository[:tag][@digest]`. */
  readonly reference: string;
  /** `1.31.0`; undefined when nothing says which. */
  readonly istioVersion: string | undefined;
}

/** Where Istio publishes its images. */
const DEFAULT_HUB = "docker.io/istio";

const IMAGE = "proxyv2";
const ISTIO = "istio-";
/** A tag of Istio's releases and builds. */
const ISTIO_VERSION = /^\d+\.\d+(?:[.-][\w.-]*)?$/;
const NAME = /^(?:istio-\d|image-[0-9a-f]{12}$)/;
/** Built of the same sources. */
const VARIANT = /-(?:distroless|debug)$/;
const SHOWN_DIGITS = 12;

/** Istio's own Envoy of a version, such as `1.31.0`; `hub` is the part of the reference before `/proxyv2`. Rejects with USAGE. */
export function istioImage(version: string, hub: string = DEFAULT_HUB): EnvoyImage {
  if (!ISTIO_VERSION.test(version) || version.length > 100) {
    throw new AgentError("USAGE", `Cannot fetch the Envoy of Istio "${version}", wanted a version such as 1.31.0`);
  }
  const reference = `${hub.replace(/\/+$/, "")}/${IMAGE}:${version}`;
  return { name: `${ISTIO}${version}`, reference, istioVersion: version.replace(VARIANT, "") };
}

/** An image by its digest, so that it is the same one each time. Its tag, if any, says which Istio. Rejects with USAGE. */
export function pinnedImage(reference: string): EnvoyImage {
  const [, hex] = /@sha256:([0-9a-f]{64})$/.exec(reference) ?? [];
  if (hex === undefined) {
    throw new AgentError("USAGE", `Cannot fetch Envoy out of the image "${reference}": it has no digest`, {
      hint: "Write it as REPOSITORY@sha256:DIGEST, or name a version of Istio with --istio",
    });
  }
  const [, tag] = /:([^:@/]+)@/.exec(reference) ?? [];
  const istioVersion = tag !== undefined && ISTIO_VERSION.test(tag) ? tag.replace(VARIANT, "") : undefined;
  return { name: `image-${hex.slice(0, SHOWN_DIGITS)}`, reference, istioVersion };
}

/** What would bring a version into the cache. */
export function fetchCommand(version: string | undefined): string {
  const command = "pilotboat envoy fetch";
  if (version === undefined || version === DEFAULT_ENVOY_VERSION) return command;
  if (version.startsWith(ISTIO)) return `${command} --istio ${version.slice(ISTIO.length)}`;
  if (isImageName(version)) return `${command} --image REFERENCE`;
  const isPinned = ENVOY_LOCK.versions[version]?.[thisPlatform()]?.pypi !== undefined;
  return `${command} --version ${version}${isPinned ? "" : " --unlocked"}`;
}

/** Whether a version is the name of an image, and not one of upstream's. */
export function isImageName(version: string): boolean {
  return NAME.test(version);
}

/** The image that a name stands for; undefined for one by its digest, which the name has a part of only. */
export function imageOfName(name: string, hub: string | undefined): EnvoyImage | undefined {
  return name.startsWith(ISTIO) ? istioImage(name.slice(ISTIO.length), hub) : undefined;
}
