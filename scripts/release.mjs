// dist/release: all that a release has, made from this checkout for this machine's processor, with checksums.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { billOfMaterials } from "./release/bill-of-materials.mjs";
import { changesSince } from "./release/changes.mjs";

const { name, version } = JSON.parse(readFileSync("package.json", "utf8"));
const folder = "dist/release";
const run = (program, ...words) => execFileSync(program, words, { stdio: ["ignore", "ignore", "inherit"] });
const isLinux = process.platform === "linux";

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
run("npm", "run", "build");
run("npm", "run", "build:executable");
run("npm", "pack", "--ignore-scripts", "--pack-destination", folder); // the build is there; npm's own would be another
copyFileSync("dist/pilotboat", join(folder, `${name}-${version}-${process.platform}-${process.arch}`));
if (isLinux) addPackages();
writeFileSync(join(folder, `${name}-${version}.cdx.json`), `${JSON.stringify(billOfMaterials(), undefined, 2)}\n`);
writeFileSync(join(folder, "CHANGES.md"), changesSince(version));
const sums = readdirSync(folder)
  .sort()
  .map(
    (file) =>
      `${createHash("sha256")
        .update(readFileSync(join(folder, file)))
        .digest("hex")}  ${file}\n`,
  );
writeFileSync(join(folder, "SHA256SUMS"), sums.join(""));
console.log(sums.join("").trimEnd());

/** Debian's tools make them. */
function addPackages() {
  run("npm", "run", "build:deb");
  run("npm", "run", "build:image", "--", "distroless", "debug");
  for (const file of readdirSync("dist").filter((one) => one.startsWith(`${name}_${version}_`))) {
    copyFileSync(join("dist", file), join(folder, file));
  }
  for (const variant of ["distroless", "debug"]) {
    const file = join(folder, `${name}-${version}-${variant}-${process.arch}.oci.tar`);
    run("tar", "--sort=name", "--owner=0", "--group=0", "--mtime=@0", "-cf", file, "-C", `dist/image/${variant}`, ".");
  }
}
