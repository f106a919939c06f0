import { type LogLine, pause } from "../base/index.ts";
import { HEADERS, pageDocument, type Sections } from "./document/document.ts";
import type { AgentFacts } from "./model/facts.ts";
import { History } from "./model/history.ts";
import type { View } from "./model/view.ts";
import { type AdminGet, Observer } from "./observer.ts";
import {
  envoySection,
  identitySection,
  linksSection,
  logSection,
  nodeLine,
  readySection,
  xdsSection,
} from "./sections/agent-sections.ts";
import { trafficSections } from "./sections/traffic-section.ts";

export interface PageOptions {
  readonly facts: () => Promise<AgentFacts>;
  /** Calls `listener` at every change; gives the function that ends it. */
  readonly watchReadiness: (listener: () => void) => () => void;
  /** Undefined without Envoy. */
  readonly adminGet: AdminGet | undefined;
  /** The newest last. */
  readonly logLines: () => readonly LogLine[];
  /** Aborts when nothing is to be served any more: the streams end. */
  readonly over: AbortSignal;
}

export interface Page {
  readonly headers: Readonly<Record<string, string>>;
  /** The page as HTML. */
  document(): Promise<string>;
  /** What changes from now on, as server-sent events; undefined when too many watch already. */
  events(): AsyncIterable<string> | undefined;
}

/** Streams at one time. A browser has one for each open page, and six HTTP/1.1 connections to a host: two stay free for documents. */
const MOST_STREAMS = 4;
const EVERY_MS = 2_000;
/** A little less than a tick, so that each tick of a stream has a new one. */
const FRESH_MS = 1_800;

const NO_ENVOY: View = {
  topology: undefined,
  traffic: undefined,
  server: undefined,
  history: new History(),
  problem: "This agent runs without Envoy",
};

/** The page of one agent. Envoy is asked only while somebody looks, and nothing is kept after that. */
export function createPage(options: PageOptions): Page {
  const { facts, over } = options;
  const observer = options.adminGet === undefined ? undefined : new Observer(options.adminGet, over);
  const sections = new Shared(over, async (): Promise<Sections> => {
    const [now, view] = await Promise.all([facts(), observer?.look() ?? NO_ENVOY]);
    return sectionsOf(now, { ...options, view, nowMs: Date.now() });
  });
  over.addEventListener(
    "abort",
    options.watchReadiness(() => sections.forget()),
    { once: true },
  );
  let streams = 0;
  async function* events(): AsyncGenerator<string> {
    if (streams >= MOST_STREAMS) return; // others were faster
    streams++;
    const sent = new Map<string, string>();
    let wake = new AbortController();
    const rouse = (): void => wake.abort();
    const unwatch = options.watchReadiness(rouse);
    over.addEventListener("abort", rouse);
    try {
      yield `event: agent\ndata: ${(await facts()).pid}\n\n`;
      while (!over.aborted) {
        if (wake.signal.aborted) wake = new AbortController();
        yield eventOf(await sections.get(), sent);
        await pause(EVERY_MS, wake.signal);
      }
    } finally {
      over.removeEventListener("abort", rouse);
      unwatch();
      streams--;
    }
  }
  return {
    headers: HEADERS,
    document: async () => pageDocument(await sections.get()),
    events() {
      if (streams >= MOST_STREAMS || over.aborted) return undefined;
      return events();
    },
  };
}

/** One value for all who ask for it within a tick: to make it costs much. */
class Shared<Value> {
  readonly #over: AbortSignal;
  readonly #make: () => Promise<Value>;
  #latest: Promise<Value> | undefined;

  constructor(over: AbortSignal, make: () => Promise<Value>) {
    this.#over = over;
    this.#make = make;
  }

  get(): Promise<Value> {
    if (this.#latest === undefined) {
      this.#latest = this.#make();
      void this.#drop(this.#latest);
    }
    return this.#latest;
  }

  /** The next who asks gets a new one. */
  forget(): void {
    this.#latest = undefined;
  }

  async #drop(made: Promise<Value>): Promise<void> {
    const isMade = await made.then(
      () => true,
      () => false,
    );
    if (isMade) await pause(FRESH_MS, this.#over);
    if (this.#latest === made) this.forget();
  }
}

interface Moment {
  readonly view: View;
  readonly logLines: () => readonly LogLine[];
  readonly nowMs: number;
}

function sectionsOf(facts: AgentFacts, { view, logLines, nowMs }: Moment): Sections {
  return {
    node: nodeLine(facts),
    ready: readySection(facts, nowMs),
    identity: identitySection(facts.identity, nowMs),
    xds: xdsSection(facts, nowMs),
    envoy: envoySection(facts, view.server, view.problem, nowMs),
    ...trafficSections(view),
    log: logSection(logLines()),
    links: linksSection(facts),
  };
}

/** What has changed since `sent`; a comment where nothing has, so that a lost connection shows. */
function eventOf(sections: Sections, sent: Map<string, string>): string {
  const changed = Object.entries(sections).filter(([id, { text }]) => sent.get(id) !== text);
  for (const [id, { text }] of changed) sent.set(id, text);
  if (changed.length === 0) return ": nothing new\n\n";
  return `data: ${JSON.stringify(Object.fromEntries(changed.map(([id, { text }]) => [id, text])))}\n\n`;
}
