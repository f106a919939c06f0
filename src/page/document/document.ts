import { createHash } from "node:crypto";
import { type Html, html } from "../markup/html.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";

/** The parts of the page that change, by the id of their element. */
export type Sections = Readonly<
  Record<"node" | "ready" | "identity" | "xds" | "envoy" | "traffic" | "folded" | "log" | "links", Html>
>;

const STYLE_HASH = hashOf(STYLE);
const SCRIPT_HASH = hashOf(SCRIPT);

/**
 * Nothing is loaded, and nothing runs, but what is in the page itself; nobody may frame it, and no other page may hold it.
 * Source: Content Security Policy Level 3 (W3C).
 */
export const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": [
    "default-src 'none'",
    `style-src '${STYLE_HASH}'`,
    `script-src '${SCRIPT_HASH}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "Cache-Control": "no-store",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#1668c7" d="M1 10h14l-2 4H3zM7 1h1l5 8H7z"/></svg>',
)}`;

/** The whole page. Without JavaScript it loads itself again every five seconds. */
export function pageDocument(sections: Sections): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pilotboat</title>
<link rel="icon" href="${ICON}">
<noscript><meta http-equiv="refresh" content="5"></noscript>
`.text;
  const body = html`<header><h1>pilotboat</h1><p class="node" id="node">${sections.node}</p><p id="live"></p></header>
<main>
<section id="ready">${sections.ready}</section>
<div class="cards"><section id="identity">${sections.identity}</section><section id="xds">${sections.xds}</section><section id="envoy">${sections.envoy}</section></div>
<section><h2>Traffic</h2><div id="traffic">${sections.traffic}</div><div id="folded">${sections.folded}</div></section>
<section><h2>Log</h2><div id="log">${sections.log}</div></section>
</main>
<footer><nav id="links">${sections.links}</nav></footer>
`.text;
  return `${page}<style>${STYLE}</style>\n</head>\n<body>\n${body}<script>${SCRIPT}</script>\n</body>\n</html>\n`;
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
