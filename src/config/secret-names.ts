import { HIDDEN } from "../base/index.ts";
import { hideSecrets } from "../istio/index.ts";
import type { Path } from "../istio/mesh/index.ts";

/** Whether what stands at this place of a document should not be shown. */
export function isSecretPath(path: Path): boolean {
  const probe = path.reduceRight<unknown>((inner, step) => ({ [step]: inner }), "probe");
  return JSON.stringify(hideSecrets(probe).document).includes(HIDDEN);
}
