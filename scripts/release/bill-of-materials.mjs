import { readFileSync } from "node:fs";

/** What is inside the bundle and the executable, in CycloneDX 1.6: packages by package URL with their licences, Bun, and Envoy. */
export function billOfMaterials() {
  const read = (file) => JSON.parse(readFileSync(file, "utf8"));
  const { name, version, license, devDependencies } = read("package.json");
  const bundled = read("dist/bundled.json").map(({ name, version, licence }) => ({
    ...component("library", name, version, `pkg:npm/${encodeURIComponent(name).replace("%2F", "/")}@${version}`),
    licenses: licencesOf(licence),
  }));
  const bun = devDependencies.bun;
  const envoy = read("envoy.lock.json").default;
  return {
    ...{ bomFormat: "CycloneDX", specVersion: "1.6", version: 1 },
    metadata: {
      component: {
        ...component("application", name, version, `pkg:npm/${name}@${version}`),
        licenses: licencesOf(license),
      },
    },
    components: [
      ...bundled,
      component("platform", "bun", bun, `pkg:npm/bun@${bun}`), // in the executable
      component("application", "envoy", envoy, `pkg:github/envoyproxy/envoy@v${envoy}`), // in the image and the Debian package
    ],
  };
}

const component = (type, name, version, purl) => ({ type, name, version, purl, "bom-ref": purl });

/** One identifier of SPDX, or an expression of several. */
const licencesOf = (text) => [/\s/.test(text) ? { expression: text } : { license: { id: text } }];
