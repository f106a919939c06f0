// The proxy image as an OCI layout in dist/image/VARIANT, without Docker: `npm run build:image -- [distroless] [debug]`.
// For this machine's processor; `--platform linux/amd64,linux/arm64` makes dist/image/VARIANT-amd64-arm64, one tag for both.
// Dockerfile.proxy makes the same with Docker.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { ALTERNATIVES, ENVOY, FILES, FOLDERS, LINKS, PACKAGES, PROXY_ID, RUN } from "./image/contents.mjs";
import { debianEntries } from "./image/debian.mjs";
import { layoutIn } from "./image/layout.mjs";
import { ARCHITECTURE, executableOf, fetchedEnvoy, SECONDS, takePlatforms } from "./package-words.mjs";

const { platforms, rest } = takePlatforms(process.argv.slice(2));
const wanted = rest.length > 0 ? rest : ["distroless"];
const own = { architecture: ARCHITECTURE };
const unknown = wanted.find((name) => !Object.hasOwn(PACKAGES, name));
if (unknown !== undefined) fail(`There is no variant "${unknown}"; there are: ${Object.keys(PACKAGES).join(", ")}`);
const targets = platforms.length > 0 ? platforms : [own];
for (const target of targets) {
  const flag = target.name === undefined ? "" : ` -- --platform ${target.name}`;
  for (const { from } of filesFor(target))
    if (!existsSync(from)) fail(`${from} is missing: run npm run build && npm run build:executable${flag}`);
}
for (const variant of wanted) await build(variant);

async function build(variant) {
  const folder = `dist/image/${[variant, ...platforms.map(({ architecture }) => architecture)].join("-")}`;
  const staged = `${folder}.tmp`;
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  const layout = layoutIn(staged);
  const images = [];
  for (const target of targets) images.push(await addImage(layout, variant, target));
  const { digest } = layout.finish(images, variant);
  rmSync(folder, { recursive: true, force: true });
  renameSync(staged, folder);
  console.log(`${folder}  ${digest}`);
}

async function addImage(layout, variant, target) {
  const { architecture } = target;
  const envoy = fetchedEnvoy(target.envoy);
  const packages = await debianEntries(PACKAGES[variant], architecture === ARCHITECTURE ? undefined : architecture);
  const layers = [
    await layout.addLayer(withRoots([...packages, ...accounts()]), SECONDS),
    await layout.addLayer([{ name: ENVOY, type: "file", mode: 0o755, file: envoy }], SECONDS),
    await layout.addLayer(ownEntries(target), SECONDS),
  ];
  const labels = labelsOf(variant);
  const [base, ofEnvoy, ofOurs] = layers.map(({ size }) => (size / 1e6).toFixed(1));
  console.log(`${variant} ${architecture}  MB, compressed: base ${base}, Envoy ${ofEnvoy}, pilotboat ${ofOurs}`);
  return layout.addImage({ layers, config: configOf(labels, architecture, envoy), labels });
}

/** The executable is the one file that differs. */
function filesFor({ architecture }) {
  return FILES.map((file) => (file.from === "dist/pilotboat" ? { ...file, from: executableOf(architecture) } : file));
}

function ownEntries(target) {
  return [
    ...filesFor(target).map(({ from, to, mode }) => ({ name: to, type: "file", mode, file: from })),
    ...LINKS.map(({ at, to }) => ({ name: at, type: "symlink", mode: 0o777, linkname: to })),
    ...FOLDERS.map((name) => ({
      name: name.replace("/var/run/", "/run/"),
      type: "directory",
      mode: 0o755,
      uid: PROXY_ID,
    })),
  ];
}

/** What Debian's maintainer scripts would make. */
function accounts() {
  const text = (name, lines) => ({ name, type: "file", mode: 0o644, content: Buffer.from(`${lines.join("\n")}\n`) });
  const users = [
    "root:x:0:0:root:/root:/usr/sbin/nologin",
    `istio-proxy:x:${PROXY_ID}:${PROXY_ID}::/:/usr/sbin/nologin`,
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
  ];
  const merged = ["bin", "sbin", "lib", "lib64"].map((name) => link(`/${name}`, `usr/${name}`));
  return [
    text("/etc/passwd", users),
    text("/etc/group", ["root:x:0:", `istio-proxy:x:${PROXY_ID}:`, "nogroup:x:65534:"]),
    text("/etc/nsswitch.conf", ["hosts: files dns"]),
    ...ALTERNATIVES.map(({ at, to }) => link(at, to)),
    ...merged,
    ...[link("/var/run", "/run"), { name: "/run", type: "directory", mode: 0o755 }],
    ...[
      { name: "/tmp", type: "directory", mode: 0o1777 },
      { name: "/root", type: "directory", mode: 0o700 },
    ],
    ...["/usr/lib64", "/usr/sbin", "/proc", "/sys", "/dev"].map((name) => ({ name, type: "directory", mode: 0o755 })),
  ];
}

function link(at, to) {
  return { name: at, type: "symlink", mode: 0o777, linkname: to };
}

/** The bundle of public roots, which update-ca-certificates would join. */
function withRoots(entries) {
  const roots = entries.filter(({ name }) => /^\/usr\/share\/ca-certificates\/.*\.crt$/.test(name));
  const content = Buffer.concat(roots.sort((a, b) => (a.name < b.name ? -1 : 1)).map((entry) => entry.content));
  const bundle = { name: "/etc/ssl/certs/ca-certificates.crt", type: "file", mode: 0o644, content };
  return [...entries.filter((entry) => !roots.includes(entry)), bundle];
}

function labelsOf(variant) {
  const { version, description, license } = JSON.parse(readFileSync("package.json", "utf8"));
  const label = (name, value) => [`org.opencontainers.image.${name}`, value];
  return Object.fromEntries([
    ...[label("title", "pilotboat"), label("description", description), label("version", `${version}-${variant}`)],
    ...[label("licenses", license), label("base.name", "debian:12")],
  ]);
}

function configOf(labels, architecture, envoy) {
  const [, envoyVersion = "unknown"] = /\/([^/]+)\/[^/]+\/envoy$/.exec(envoy) ?? [];
  const Env = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
    `ISTIO_META_ISTIO_PROXY_SHA=envoy:${envoyVersion}`,
    "PILOTBOAT_STOCK_ENVOY=adapt", // upstream's Envoy is in here on purpose
  ];
  const created = new Date(SECONDS * 1_000).toISOString();
  return { created, architecture, os: "linux", config: { ...RUN, Env, Labels: labels } };
}

function fail(text) {
  console.error(text);
  process.exit(1);
}
