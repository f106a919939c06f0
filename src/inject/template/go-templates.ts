import { describeError } from "../../base/index.ts";
import { createTemplate, templateLineOf } from "../../go-template/engine/index.ts";
import type { PodTemplate } from "../pod/injector.ts";
import { isTree } from "../pod/json.ts";
import { INJECTOR_FUNCTIONS } from "./injector-functions.ts";
import { templateValues } from "./template-values.ts";

/** Reads one document of YAML 1.1; throws with line and column where it cannot. */
export type ReadYaml = (text: string, name: string) => Promise<unknown>;

/**
 * A template of the injector's ConfigMap. It is compiled when it is first used. Rejects with the template's name, and with
 * the line where it fails.
 */
export function goPodTemplate(name: string, source: string, readYaml: ReadYaml): PodTemplate {
  let template: ReturnType<typeof createTemplate> | undefined;
  return async (data) => {
    let text: string;
    try {
      template ??= createTemplate(source, { functions: INJECTOR_FUNCTIONS });
      text = template(templateValues(data));
    } catch (error) {
      const line = templateLineOf(error);
      throw new Error(`template "${name}"${line === undefined ? "" : `, line ${line}`}: ${describeError(error)}`);
    }
    const tree = (await readYaml(text, `template "${name}"`)) ?? {};
    if (!isTree(tree)) throw new Error(`template "${name}" renders no mapping`);
    return tree;
  };
}
