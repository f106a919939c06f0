// An OCI image layout on disk. Source: opencontainers/image-spec image-layout.md, manifest.md, config.md.
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

/** A place for blobs below `folder`. */
export function layoutIn(folder) {
  const blobs = join(folder, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const addJson = (mediaType, document) => {
    const bytes = Buffer.from(JSON.stringify(document));
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  return {
    /** Entries as `{ name, type, mode, uid?, linkname?, content? | file? }`; parents are added. The same entries give the same bytes. */
    async addLayer(entries, seconds) {
      const staged = join(folder, "layer.tmp");
      const [tarHash, gzipHash] = [createHash("sha256"), createHash("sha256")];
      const tar = pack();
      const written = pipeline(tar, seen(tarHash), createGzip({ level: 6 }), seen(gzipHash), createWriteStream(staged));
      for (const entry of withFolders(entries)) await addEntry(tar, entry, new Date(seconds * 1_000));
      tar.finalize();
      await written;
      const digest = gzipHash.digest("hex");
      const { size } = statSync(staged);
      renameSync(staged, join(blobs, digest));
      return { mediaType: LAYER, digest: `sha256:${digest}`, size, diffId: `sha256:${tarHash.digest("hex")}` };
    },
    /** `config`: the image's configuration without its layers. Returns the manifest's descriptor, with its platform. */
    addImage({ layers, config, labels }) {
      const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
      const described = addJson(CONFIG, { ...config, rootfs });
      const plain = layers.map(({ diffId: _, ...layer }) => layer);
      const manifest = addJson(MANIFEST, {
        ...{ schemaVersion: 2, mediaType: MANIFEST, config: described, layers: plain, annotations: labels },
      });
      return { ...manifest, platform: { architecture: config.architecture, os: config.os } };
    },
    /** Writes the index. Several images become one tag, of which a runtime takes that of its platform. Returns what the tag leads to. */
    finish(images, tag) {
      const annotations = { "org.opencontainers.image.ref.name": tag };
      const nested = () => addJson(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests: images });
      const tagged = images.length === 1 ? images[0] : nested();
      const index = { schemaVersion: 2, manifests: [{ ...tagged, annotations }] };
      writeFileSync(join(folder, "index.json"), JSON.stringify(index));
      writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
      return tagged;
    },
  };
}

function seen(hash) {
  return new Transform({
    transform(piece, _, done) {
      hash.update(piece);
      done(null, piece);
    },
  });
}

/** Sorted by name, with the folders that nobody named. */
function withFolders(entries) {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  for (const { name } of entries) {
    for (let folder = dirname(name); folder !== "/" && !byName.has(folder); folder = dirname(folder)) {
      byName.set(folder, { name: folder, type: "directory", mode: 0o755 });
    }
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function addEntry(tar, { name, type, mode, uid = 0, linkname, content, file }, mtime) {
  const path = type === "link" ? linkname.slice(1) : linkname;
  const size = file === undefined ? (content?.length ?? 0) : statSync(file).size;
  const header = { name: name.slice(1), type, mode, uid, gid: uid, mtime, size, ...(path && { linkname: path }) };
  await new Promise((resolve, reject) => {
    const done = (error) => (error ? reject(error) : resolve());
    if (file === undefined) tar.entry(header, content ?? "", done);
    else pipeline(createReadStream(file), tar.entry(header, done)).catch(reject);
  });
}
