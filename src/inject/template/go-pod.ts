import { GoInt, GoNil, goNilCollection, goRecord, goTextMap, goTyped } from "../../go-template/index.ts";
import type { JsonValue } from "../../istio/mesh/index.ts";
import { isTree, type Tree, textsOf, treeOf } from "../pod/json.ts";
import { fieldsOf, type PodField } from "../pod/pod-types.ts";

/** A Kubernetes object in canonical form as a Go template sees it. `type` is one of `pod-types.ts`. */
export function goStruct(type: string, value: Tree): object {
  const fields = fieldsOf(type).map((field) => [field.goName, goField(field, value[field.name])]);
  return goRecord(Object.fromEntries(fields), { name: `v1.${type}`, json: value as JsonValue });
}

function goField(field: PodField, value: unknown): unknown {
  if (field.kind === "list") return goList(field, value);
  if (field.kind === "map") return value === undefined ? goNilCollection(goTextMap({})) : goTextMap(textsOf(value));
  if (field.kind === "struct" && field.type !== undefined) {
    if (value === undefined && field.isPointer) return new GoNil(`*v1.${field.type}`);
    return goStruct(field.type, treeOf(value));
  }
  if (value === undefined && field.isPointer) return new GoNil(`*${field.name}`);
  return typeof value === "number" ? new GoInt(value, "int32") : (value ?? zeroOf(field));
}

function goList({ type }: PodField, value: unknown): unknown {
  const typeName = type === undefined ? undefined : `[]v1.${type}`;
  const typed = (list: object): object => (typeName === undefined ? list : goTyped(list, typeName));
  if (!Array.isArray(value)) return goNilCollection(typed([]));
  return typed(value.map((item) => (type !== undefined && isTree(item) ? goStruct(type, item) : item)));
}

function zeroOf({ name, kind }: PodField): unknown {
  if (kind !== "scalar") return {};
  if (FLAGS.has(name)) return false;
  return NUMBERS.has(name) ? new GoInt(0, "int32") : "";
}

const FLAGS = new Set(["hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly"]);
const NUMBERS = new Set([
  ...["hostPort", "containerPort", "port", "generation", "initialDelaySeconds", "timeoutSeconds", "periodSeconds"],
  ...["successThreshold", "failureThreshold"],
]);
