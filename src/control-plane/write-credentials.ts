import { join } from "node:path";
import { writeFileAtomically } from "../base/index.ts";
import { PATHS } from "../istio/index.ts";
import type { Workload } from "./callers/tokens.ts";
import type { ControlPlane } from "./control-plane.ts";

/** Writes a token and the root certificate below `folder`, at the places where an agent started there looks. */
export async function writeCredentials(
  controlPlane: Pick<ControlPlane, "mintToken" | "rootPem">,
  folder: string,
  workload: Workload,
): Promise<void> {
  const token = await controlPlane.mintToken(workload);
  await writeFileAtomically(join(folder, PATHS.token), token.reveal());
  await writeFileAtomically(join(folder, PATHS.controlPlaneRoot), controlPlane.rootPem);
}
