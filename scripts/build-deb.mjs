// dist/pilotboat_VERSION_ARCH.deb, for this machine's processor: the executable, Envoy and the units of packaging/.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ARCHITECTURE, fetchedEnvoy, SECONDS } from "./package-words.mjs";

if (!existsSync("dist/pilotboat"))
  throw new Error("dist/pilotboat is missing: run npm run build && npm run build:executable");
const { version, description } = JSON.parse(readFileSync("package.json", "utf8"));
const envoy = fetchedEnvoy();

const FILES = [
  ["dist/pilotboat", "/usr/bin/pilotboat", 0o755],
  [envoy, "/usr/lib/pilotboat/envoy", 0o755],
  ["packaging/start-proxy", "/usr/lib/pilotboat/start-proxy", 0o755],
  ["packaging/pilotboat.service", "/lib/systemd/system/pilotboat.service", 0o644],
  ["packaging/pilotboat-redirect.service", "/lib/systemd/system/pilotboat-redirect.service", 0o644],
  ["packaging/sidecar.env", "/var/lib/istio/envoy/sidecar.env", 0o644],
  ["LICENSE", "/usr/share/doc/pilotboat/copyright", 0o644],
  ["dist/THIRD-PARTY-NOTICES.txt", "/usr/share/doc/pilotboat/THIRD-PARTY-NOTICES.txt", 0o644],
  ["packaging/postinst", "/DEBIAN/postinst", 0o755],
  ["packaging/prerm", "/DEBIAN/prerm", 0o755],
];
const FOLDERS = ["/etc/certs", "/etc/istio/config", "/etc/istio/proxy", "/var/lib/istio/data"];

const root = mkdtempSync(join(tmpdir(), "pilotboat-deb-"));
try {
  for (const folder of FOLDERS) mkdirSync(join(root, folder), { recursive: true });
  for (const [from, to, mode] of FILES) place(to, mode, (path) => copyFileSync(from, path));
  place("/DEBIAN/conffiles", 0o644, (path) => writeFileSync(path, "/var/lib/istio/envoy/sidecar.env\n"));
  place("/DEBIAN/control", 0o644, (path) => writeFileSync(path, control()));
  chmodSync(root, 0o755);
  const file = `dist/pilotboat_${version}_${ARCHITECTURE}.deb`;
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(SECONDS) }; // dpkg-deb clamps times to it
  execFileSync("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z6", "--build", root, file], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  console.log(`${file}  ${(statSync(file).size / 1e6).toFixed(0)} MB`);
} finally {
  rmSync(root, { recursive: true, force: true });
}

function place(to, mode, write) {
  const path = join(root, to);
  mkdirSync(dirname(path), { recursive: true });
  write(path);
  chmodSync(path, mode);
  utimesSync(path, SECONDS, SECONDS);
}

function control() {
  const fields = {
    ...{ Package: "pilotboat", Version: version, Architecture: ARCHITECTURE, Section: "net", Priority: "optional" },
    ...{
      Maintainer: "The pilotboat developers <pilotboat@localhost>",
      Depends: "libc6 (>= 2.31), passwd, ca-certificates",
    },
    ...{ Recommends: "iptables, iproute2", Description: `Envoy sidecar agent of an Istio mesh\n ${description}` },
  };
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n")}\n`;
}
