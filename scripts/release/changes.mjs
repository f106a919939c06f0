import { execFileSync } from "node:child_process";

/** The commits since the last tag, by room: the entry of a change log, as Markdown. */
export function changesSince(version) {
  return changes(version, subjects());
}

/** `subjects`: newest first, `room: what is new`; several rooms may stand before the colon. */
export function changes(version, subjects) {
  const byRoom = new Map();
  for (const subject of subjects) {
    const [, room = "other", text = subject] = /^([\w, /.-]+): (.+)$/.exec(subject) ?? [];
    byRoom.set(room, [...(byRoom.get(room) ?? []), text]);
  }
  const rooms = [...byRoom].sort(([a], [b]) => (a < b ? -1 : 1));
  const sections = rooms.map(([room, texts]) => `### ${room}\n\n${texts.map((text) => `- ${text}\n`).join("")}`);
  return `## ${version}\n\n${sections.join("\n")}`;
}

function subjects() {
  const git = (...words) =>
    execFileSync("git", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  let from = [];
  try {
    from = [`${git("describe", "--tags", "--abbrev=0")}..HEAD`];
  } catch {
    // no tag yet: everything is new
  }
  return git("log", "--no-merges", "--format=%s", ...from).split("\n");
}
