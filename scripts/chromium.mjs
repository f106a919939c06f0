// Where this machine has a browser for the page's tests and its picture: Debian's package `chromium`, or one of its relatives.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** The first of these programs on PATH; undefined where there is none. */
export function findChromium(path = process.env.PATH ?? "") {
  const candidates = NAMES.flatMap((name) => path.split(delimiter).map((folder) => join(folder, name)));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A browser without a window; root's has no sandbox, which Chromium refuses to root. */
export async function launchChromium(executablePath) {
  const { chromium } = await import("playwright-core");
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args });
}
