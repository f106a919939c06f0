import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { parseDocument } from "yaml";
import { AgentError, describeError, MOST_YAML_DEPTH, tooDeepAt } from "../base/index.ts";
import { isObject } from "../proto/explain-failure.ts";
import { isRecording, readRecording } from "../proto/recording.ts";
import type { Dump } from "./compare.ts";
import type { ResourceTeller } from "./resource-teller.ts";

/**
 * Resources of a recording, of what `xds get -o json|yaml` printed, or of a config_dump of Envoy or istiod. What is known of the
 * type is brought into one form, so that the two spellings of fields are the same. Throws CONFIG_INVALID; `place` names the text there.
 */
export function readDump(text: string, place: string, teller: ResourceTeller): Dump {
  if (isRecording(text)) {
    const state = [...readRecording(text, place)];
    return new Map(
      state.map(([typeUrl, resources]) => [
        typeUrl,
        new Map([...resources].map(([name, { typeUrl: type, value }]) => [name, teller.jsonOf(type, value)])),
      ]),
    );
  }
  const document = parse(text, place);
  const resources = resourcesIn(document);
  if (resources === undefined) {
    throw new AgentError("CONFIG_INVALID", `Cannot use ${place}: found neither a recording nor resources`, {
      hint: 'Make one with "pilotboat xds record FILE", "pilotboat xds get -o json", or Envoy\'s /config_dump?include_eds',
    });
  }
  return gather(resources, teller);
}

function parse(text: string, place: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    try {
      if (tooDeepAt(text, MOST_YAML_DEPTH) !== undefined) throw new Error("it is nested too deeply");
      const document = parseDocument(text);
      if (document.errors[0] !== undefined) throw document.errors[0];
      return document.toJS() as JsonValue;
    } catch (error) {
      throw new AgentError("CONFIG_INVALID", `Cannot use ${place}: ${describeError(error).split("\n")[0]}`);
    }
  }
}

/** Undefined for a document of another kind. */
function resourcesIn(document: JsonValue): JsonObject[] | undefined {
  if (isObject(document) && Array.isArray(document.configs)) return document.configs.flatMap(inConfigDump);
  const responses = Array.isArray(document) ? document : [document];
  const lists = responses.map((one) =>
    isObject(one) ? (one.resources ?? (isText(one.typeUrl) ? [] : undefined)) : undefined,
  );
  if (lists.some((list) => !Array.isArray(list))) return undefined;
  return (lists as JsonValue[][]).flat().flatMap((one) => {
    const resource = isObject(one) && isObject(one.resource ?? null) ? one.resource : one;
    return isTyped(resource) ? [resource] : [];
  });
}

/** Of Envoy's and istiod's dumps the resources themselves, not what is around them. */
function inConfigDump(value: JsonValue): JsonObject[] {
  if (Array.isArray(value)) return value.flatMap(inConfigDump);
  if (!isObject(value)) return [];
  if (isTyped(value) && !/\.admin\.v3\./.test(String(value["@type"]))) return [value];
  return Object.entries(value).flatMap(([name, item]) =>
    /^(bootstrap|errorState|error_state)$/.test(name) ? [] : inConfigDump(item),
  );
}

function gather(resources: readonly JsonObject[], teller: ResourceTeller): Dump {
  const found = new Map<string, Map<string, JsonValue>>();
  for (const resource of resources) {
    const json = teller.canonical(resource);
    const typeUrl = String(resource["@type"]);
    const name = json.name ?? json.clusterName ?? json.cluster_name;
    const ofType = found.get(typeUrl) ?? new Map<string, JsonValue>();
    found.set(typeUrl, ofType.set(isText(name) ? name : "", json));
  }
  return found;
}

function isTyped(value: JsonValue | undefined): value is JsonObject {
  return value !== undefined && isObject(value) && isText(value["@type"]);
}

function isText(value: JsonValue | undefined): value is string {
  return typeof value === "string" && value !== "";
}
