// Makes docs/page.png, the picture of the page that README shows: `npm run screenshot`. Wants dist/ and a chromium on PATH.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChromium, launchChromium } from "./chromium.mjs";
import { writeShopMesh } from "./shop-mesh.mjs";

const FILE = "docs/page.png";
/** Down to the end of the picture of the traffic. */
const HEIGHT = 1075;
const MOST_BYTES = 200_000;
/** As long as the plots reach back. */
const TRAFFIC_MS = 170_000;

const shop = (name, ports) => ({ host: `${name}.shop`, cluster: `outbound|80||${name}.shop.svc.cluster.local`, ports });
const SHOPS = [
  shop("reviews", ["${APP_PORT}", "${APP_PORT}"]),
  shop("ratings", ["${APP_PORT}"]),
  shop("payments", ["${APP_PORT}", "${APP_PORT}", "${APP_PORT}", "${APP_PORT}", "${APP_PORT}", "1"]),
];

const chromium = findChromium();
if (chromium === undefined) throw new Error("There is no chromium on PATH (Debian: apt-get install chromium)");
const folder = mkdtempSync(join(tmpdir(), "pilotboat-screenshot-"));
writeShopMesh(join(folder, "xds"), SHOPS);
const env = { ...process.env, TMPDIR: folder };
const mesh = spawn(process.execPath, ["dist/main.js", "up", join(folder, "xds")], {
  env,
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  const { port, page } = await addresses(mesh);
  const browser = await launchChromium(chromium);
  const view = await browser.newPage({ viewport: { width: 1280, height: HEIGHT } });
  await view.goto(page);
  const end = performance.now() + TRAFFIC_MS;
  const hosts = [...SHOPS.map(({ host }) => host), "quickstart"];
  await Promise.all(hosts.map((host, at) => visit(port, host, { every: 40 * (at + 1), end })));
  await view.screenshot({ path: FILE, fullPage: false });
  await browser.close();
} finally {
  const ended = new Promise((resolve) => mesh.once("close", resolve));
  mesh.kill("SIGINT");
  await ended;
  rmSync(folder, { recursive: true, force: true });
}
const { size } = statSync(FILE);
if (size > MOST_BYTES) throw new Error(`${FILE} has ${size} bytes, and may have ${MOST_BYTES}`);
console.log(`${FILE} is written: ${Math.round(size / 1_000)} kB`);

/** Where the mesh takes requests, and its page. Rejects when it ends before it says so. */
function addresses({ stdout }) {
  return new Promise((resolve, reject) => {
    let text = "";
    stdout.setEncoding("utf8").on("data", (piece) => {
      text += piece;
      const [, port] = /^listener +http:\/\/127\.0\.0\.1:(\d+)$/m.exec(text) ?? [];
      const [, page] = /^page +(\S+)$/m.exec(text) ?? [];
      if (port !== undefined && page !== undefined) resolve({ port, page });
    });
    stdout.once("end", () => reject(new Error(`pilotboat up ended: ${text}`)));
  });
}

/** Requests that come in waves, until the end. */
async function visit(port, host, { every, end }) {
  const agent = new Agent({ keepAlive: true });
  while (performance.now() < end) {
    await new Promise((resolve) => {
      const call = request({ host: "127.0.0.1", port, path: "/hello", headers: { host }, agent }, (response) => {
        response.resume().once("end", resolve);
      });
      call.once("error", resolve).end();
    });
    const wave = 1.2 + Math.sin(performance.now() / (every * 250));
    await new Promise((resolve) => setTimeout(resolve, every * wave));
  }
  agent.destroy();
}
