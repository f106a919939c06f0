// Debian packages as the entries of a layer, without installing them: no maintainer script runs.
import { execFile, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { promisify } from "node:util";
import { extract } from "tar-stream";

const run = promisify(execFile);

/** Documentation that no program reads; copyrights stay. */
const LEFT_OUT =
  /^\/usr\/share\/(man|info|locale|lintian|bash-completion|gcc|doc-base)\/|^\/usr\/share\/doc\/[^/]+\/(?!copyright)./;
/** Debian's packages still say /lib and /bin; the base has links from there. */
const MERGED = /^\/(bin|sbin|lib|lib64)(?=\/)/;

/**
 * The files of these packages in the release that apt is set up for: `{ name, type, mode, linkname?, content? }`, paths
 * absolute, sorted; for another processor than this machine's where `architecture` names one. Each package is described below /var/lib/dpkg/status.d, where scanners of images look.
 */
export async function debianEntries(packages, architecture) {
  const folder = mkdtempSync(join(tmpdir(), "pilotboat-debian-"));
  chmodSync(folder, 0o755); // apt downloads as a user of its own
  try {
    await download(packages, folder, architecture);
    const found = new Map();
    for (const file of readdirSync(folder)
      .filter((name) => name.endsWith(".deb"))
      .sort()) {
      for (const entry of await entriesOf(join(folder, file))) found.set(entry.name, entry);
    }
    return [...found.values()];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function download(packages, cwd, architecture) {
  const options = architecture === undefined ? [] : foreignOptions(cwd, architecture);
  const apt = (...words) => run("apt-get", [...options, "-q", ...words], { cwd, timeout: 300_000 });
  const get = () => apt("download", ...packages);
  await get().catch(async () => {
    await apt("update"); // a fresh container has no lists
    await get();
  });
}

/** Lists of apt's own for another processor, so that this machine's stay as they are. */
function foreignOptions(folder, architecture) {
  const [state, cache] = ["state", "cache"].map((name) => join(folder, name));
  for (const place of [join(state, "lists/partial"), join(cache, "archives/partial")]) {
    mkdirSync(place, { recursive: true });
  }
  writeFileSync(join(state, "status"), "");
  const settings = {
    "APT::Architecture": architecture,
    "APT::Architectures": architecture,
    "Dir::State": state,
    "Dir::State::status": join(state, "status"),
    "Dir::Cache": cache,
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

async function entriesOf(deb) {
  const entries = [];
  const tar = extract();
  tar.on("entry", (header, stream, next) => {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => {
      const entry = entryOf(header, Buffer.concat(pieces));
      if (entry !== undefined) entries.push(entry);
      next();
    });
  });
  const dpkg = spawn("dpkg-deb", ["--fsys-tarfile", deb], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve, reject) => {
    dpkg
      .once("error", reject)
      .once("close", (code) => (code === 0 ? resolve() : reject(new Error(`dpkg-deb: ${code}`))));
  });
  const read = new Promise((resolve, reject) => tar.once("finish", resolve).once("error", reject));
  dpkg.stdout.pipe(tar);
  await Promise.all([ended, read]);
  const { stdout: control } = await run("dpkg-deb", ["--field", deb]);
  const name = /^Package: (.+)$/m.exec(control)[1];
  return [
    ...entries,
    { name: `/var/lib/dpkg/status.d/${name}`, type: "file", mode: 0o644, content: Buffer.from(control) },
  ];
}

function entryOf({ name, type, mode, linkname }, content) {
  const path = posix.join("/", name).replace(/(.)\/$/, "$1");
  const at = path.replace(MERGED, "/usr/$1");
  if (type === "directory" || LEFT_OUT.test(at) || /^\/(bin|sbin|lib|lib64)$/.test(at)) return undefined;
  if (type === "link") return { name: at, type, mode, linkname: posix.join("/", linkname).replace(MERGED, "/usr/$1") };
  return { name: at, type, mode, ...(type === "symlink" ? { linkname } : { content }) };
}
