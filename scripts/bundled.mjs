// What a bundler put into its output, by package: for the licence texts, and for the table in docs/security.md.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The packages that these files are of, by name: `{ name, version, licence, folder, files }`. */
export function bundledPackages(bundledFiles) {
  const found = new Map();
  for (const file of new Set(bundledFiles)) {
    if (!file.startsWith("node_modules/")) continue;
    const folder = packageFolder(dirname(file));
    const files = found.get(folder)?.files ?? [];
    found.set(folder, { ...manifestOf(folder), folder, files: [...files, file] });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The licence texts of the packages; where there is no file of it, the notices at the heads of the bundled files. */
export function licenceTexts(packages) {
  return packages
    .map(({ name, version, licence, folder, files }) => `${name} ${version} (${licence})\n\n${textOf(folder, files)}`)
    .join(`\n${"-".repeat(80)}\n\n`);
}

function packageFolder(folder) {
  const manifest = join(folder, "package.json");
  return existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name
    ? folder
    : packageFolder(dirname(folder));
}

function manifestOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return { name, version, licence: license.replace(/^\((.*)\)$/, "$1") };
}

function textOf(folder, files) {
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "license"]
    .map((one) => join(folder, one))
    .find(existsSync);
  if (file !== undefined) return readFileSync(file, "utf8");
  const heads = files.map((one) => /^(?:\/\/.*\n)+/.exec(readFileSync(one, "utf8"))?.[0] ?? "");
  return [...new Set(heads.filter((head) => head.includes("Copyright")))].join("\n");
}
