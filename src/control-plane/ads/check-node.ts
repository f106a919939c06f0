import { escapeLine } from "../../base/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";

/** Istio's ids have four short parts; the names in them are DNS names. */
const MOST_ID_CHARACTERS = 1_024;
const MOST_NAME_CHARACTERS = 253;

/**
 * Why a node cannot be served; undefined when it can. Its id and names go to logs, to who watches the mesh and into
 * comparisons, so they must be what they should be.
 */
export function nodeTrouble(node: Node | undefined): string | undefined {
  if (node === undefined || node.id === "") return "missing node information";
  if (node.id.length > MOST_ID_CHARACTERS) {
    return `the node id has ${node.id.length} characters, wanted at most ${MOST_ID_CHARACTERS}`;
  }
  if (escapeLine(node.id) !== node.id) return "the node id has control characters";
  const wrong = ["NAMESPACE", "SERVICE_ACCOUNT"].find((name) => !isName(node.metadata?.[name]));
  return wrong === undefined ? undefined : `${wrong} in the node's metadata is no name`;
}

/** Or absent. */
function isName(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === "string" && value.length <= MOST_NAME_CHARACTERS && escapeLine(value) === value;
}
