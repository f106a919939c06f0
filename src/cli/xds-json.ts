import { hideSecrets } from "../istio/index.ts";
import type * as client from "../xds-client/index.ts";

/** A response in protobuf's JSON form, with every resource that is known of its type. */
export function responseJson(
  { response, resources }: { response: client.Response; resources: ReadonlyMap<string, client.Received> },
  isDelta: boolean,
  teller: client.ResourceTeller,
) {
  const { typeUrl, version, nonce } = response;
  const shown = [...resources.values()].map((one) => ({ ...one, resource: shownJson(one, teller) }));
  if (!isDelta) return { versionInfo: version, resources: shown.map(({ resource }) => resource), typeUrl, nonce };
  return {
    systemVersionInfo: version,
    resources: shown.map(({ name, version: own, resource }) => ({ name, version: own, resource })),
    typeUrl,
    nonce,
    ...(response.removed.length === 0 ? {} : { removedResources: response.removed }),
  };
}

/** Without what looks like a secret in any other place. */
export function shownJson(resource: Pick<client.Received, "any">, teller: client.ResourceTeller): unknown {
  return hideSecrets(teller.json(resource)).document;
}
