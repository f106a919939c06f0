import { AgentError } from "../base/index.ts";
import type { InjectionConfig } from "./pod/injector.ts";
import { isTree, textsOf, treeOf, treesOf } from "./pod/json.ts";
import type { ReadYaml } from "./template/go-templates.ts";

/**
 * Reads the key `config` of the injector's ConfigMap. `source` says for people where it comes from. Rejects with
 * INJECTION_FAILED.
 */
export async function readInjectionConfig(text: string, source: string, readYaml: ReadYaml): Promise<InjectionConfig> {
  const tree = await readYaml(text, source);
  if (!isTree(tree) || !isTree(tree.templates)) {
    throw new AgentError("INJECTION_FAILED", `Cannot use ${source}: it has no templates`, {
      hint: 'Wanted the key "config" of a ConfigMap istio-sidecar-injector',
    });
  }
  const { goPodTemplate } = await import("./template/go-templates.ts");
  const templates = Object.entries(textsOf(tree.templates)).map(
    ([name, template]) => [name, goPodTemplate(name, template, readYaml)] as const,
  );
  const stated = textList(tree.defaultTemplates);
  return {
    policy: String(tree.policy ?? ""),
    defaultTemplates: stated.length === 0 ? ["sidecar"] : stated,
    aliases: new Map(Object.entries(treeOf(tree.aliases)).map(([name, names]) => [name, textList(names)])),
    neverInject: treesOf(tree.neverInjectSelector),
    alwaysInject: treesOf(tree.alwaysInjectSelector),
    injectedAnnotations: textsOf(tree.injectedAnnotations),
    templates: new Map(templates),
  };
}

function textList(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
