import { decodePresent, MESH_CONFIG, PROXY_CONFIG } from "../istio/mesh/index.ts";
import type { Source } from "./document.ts";
import { Findings, isTree, type Overlay, type OverlayReading, readTree, type Tree } from "./overlay.ts";
import { mismatch, type Problem, showFound } from "./problem.ts";
import { validateMeshConfig } from "./validate-mesh.ts";

/**
 * Reads a mesh file: everything in it is checked, `defaultConfig` becomes the overlay. Under its snake_case name it is
 * checked but not used, as in the reference, and that is a warning. Source: istio/istio pkg/config/mesh/mesh.go
 * (ApplyMeshConfig).
 */
export async function readMeshFile(source: Source): Promise<OverlayReading> {
  const reading = await readTree(source);
  if ("problem" in reading) return { overlay: undefined, problems: [reading.problem], warnings: [] };
  const { tree, origin, locate } = reading;
  if (tree === undefined) return { overlay: undefined, problems: [], warnings: reading.warnings };
  const { defaultConfig, ...mesh } = tree;
  const ofMesh = new Findings();
  const ofProxy = new Findings();
  const meshConfig = decodePresent(MESH_CONFIG, mesh, [], ofMesh);
  const present = decodeDefaultConfig(defaultConfig, ofProxy);
  const overlay: Overlay = {
    source: source.source,
    present,
    origin: (path) => origin(["defaultConfig", ...path]),
    locate: (path) => locate(["defaultConfig", ...path]),
  };
  const invalid = validateMeshConfig(meshConfig).map(async ({ path, message }) => ({
    name: path.join("."),
    origin: await locate(path),
    message,
  }));
  return {
    overlay,
    problems: [
      ...(await ofMesh.problems(locate)),
      ...(await ofProxy.problems(locate)),
      ...(await Promise.all(invalid)),
    ],
    warnings: [
      ...reading.warnings,
      ...(await misplaced(mesh, locate)),
      // fields of a newer control plane are no mistakes; those that look like one of ours are
      ...(await ofMesh.warnings(locate)).filter(({ hint }) => hint !== undefined),
      ...(await ofProxy.warnings(locate)),
    ],
  };
}

function decodeDefaultConfig(tree: unknown, findings: Findings): Tree {
  if (isTree(tree)) return decodePresent(PROXY_CONFIG, tree, ["defaultConfig"], findings);
  if (tree !== undefined && tree !== null) findings.wrongType(["defaultConfig"], tree, "a mapping");
  return {};
}

async function misplaced(mesh: Tree, locate: Overlay["locate"]): Promise<Problem[]> {
  if (mesh.default_config === undefined) return [];
  const name = "default_config";
  const origin = await locate([name]);
  return [{ name, origin, ...mismatch(showFound(mesh.default_config), '"defaultConfig"; it is ignored') }];
}
