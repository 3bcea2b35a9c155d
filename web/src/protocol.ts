// SPDX-License-Identifier: MIT OR Apache-2.0
// What a page and its worker say to each other, and what the allocator's answers hold
// (web/wasm/lib.rs).

export interface ToWorker {
  number: number;
  wasm?: Uint8Array<ArrayBuffer>;
  recording?: Uint8Array;
  request?: string;
  /** Ctrl-C for the request that runs. */
  interrupt?: boolean;
}

export interface Reply {
  number: number;
  text: string;
  words: Uint32Array[];
  ms: number;
  /** The answer is still to come. */
  running?: boolean;
  /** A Ctrl-C was heard. */
  interrupted?: boolean;
}

/** What `debris` embeds beside the recording. */
export interface Embedded {
  kind?: "recording";
  name: string;
  from: string | null;
  pages: number;
  placement: string;
  align: string;
  failed: string;
  failed_recorded: number;
  peak_pages: number;
  smallest_pages: number;
  sizes: { placement: string; align: string; smallest_pages: number }[];
}

/** What the allocator has to choose from. */
export interface Rules {
  placements: { name: string }[];
  alignments: { name: string; words: string }[];
}

/** What `debris report` embeds: of each row some of its sorted values, evenly spread. */
export interface EmbeddedReport {
  kind: "report";
  groups: { name: string; rows: { placement: string; allocs: number[]; before: number[] | null }[] }[];
}

/** A record of a replay; the fields that are shown. */
export interface ReplayRecord {
  ops: number;
  held_released: number;
  allocs: number;
  failed: number;
  peak_pages: number;
  used: number;
  maxchunk: number;
  placement_fnv1a: string;
  bitmap_fnv1a: string;
  failed_fragmented: number;
  failed_full: number;
}

const COLUMNS_BAND = 8;
const COLUMNS_FAILURE = 22;
const WINDOWS = 3;
const CAUSES = ["fragmented", "full", "busy", "no-memory", "invalid"];
export const OPEN = 0xffff_ffff;

function time(low: number, high: number): number {
  return (high * 2 ** 32 + low) / 1e9;
}

/** The area over some steps in a row. */
export interface Span {
  first: number;
  last: number;
  /** The last time that is known; 0 where there is none. */
  seconds: number;
  /** The most pages in use, and the first step behind which they are. */
  used: number;
  usedAt: number;
  /** The longest free run behind the last step. */
  longest: number;
  failed: number;
}

export interface Band {
  page: number;
  pages: number;
  begin: number;
  end: number;
  line: number;
  task: number;
  seconds: number;
}

export interface Window {
  page: number;
  used: number;
  cost: number;
  buffers: number;
}

export interface Failed {
  place: number;
  step: number;
  line: number;
  /** NaN where the recording has none. */
  seconds: number;
  task: number;
  pages: number;
  align: number;
  cause: string;
  free: number;
  longest: number;
}

/** Buffers by their first page. */
class Held {
  used = 0;
  private readonly pages: number[];
  private readonly counts: number[];

  /** Of bands, lowest first. */
  constructor(bands: Pick<Band, "page" | "pages">[]) {
    this.pages = bands.map((band) => band.page);
    this.counts = bands.map((band) => band.pages);
    for (const pages of this.counts) this.used += pages;
  }

  add({ page, pages }: Pick<Band, "page" | "pages">): void {
    const place = this.place(page);
    this.pages.splice(place, 0, page);
    this.counts.splice(place, 0, pages);
    this.used += pages;
  }

  remove(page: number): void {
    const place = this.place(page);
    this.pages.splice(place, 1);
    this.used -= this.counts.splice(place, 1)[0]!;
  }

  longest(area: number): number {
    let [longest, end] = [0, 0];
    for (let place = 0; place < this.pages.length; place++) {
      longest = Math.max(longest, this.pages[place]! - end);
      end = this.pages[place]! + this.counts[place]!;
    }
    return Math.max(longest, area - end);
  }

  private place(page: number): number {
    let [low, high] = [0, this.pages.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.pages[middle]! < page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The course of a replay. Buffers and failures stay words until somebody asks: there may be hundreds of thousands. */
export class Course {
  readonly bandCount: number;
  private ends: Uint32Array | undefined;
  readonly failureCount: number;

  constructor(
    readonly pages: number,
    readonly steps: number,
    readonly peakStep: number,
    readonly worst: number,
    readonly tasks: string[],
    readonly record: ReplayRecord,
    /** The line of each step. */
    readonly lines: Uint32Array,
    private readonly bands: Uint32Array,
    private readonly failures: Uint32Array,
  ) {
    this.bandCount = bands.length / COLUMNS_BAND;
    this.failureCount = failures.length / COLUMNS_FAILURE;
  }

  band(place: number): Band {
    const at = place * COLUMNS_BAND;
    const word = (column: number) => this.bands[at + column]!;
    return { page: word(0), pages: word(1), begin: word(2), end: word(3), line: word(4), task: word(5), seconds: time(word(6), word(7)) };
  }

  /** The steps from `from` to `to` in `most` spans of equal length, or in fewer. */
  spans(from: number, to: number, most: number): Span[] {
    const length = Math.max(1, Math.ceil((to - from + 1) / most));
    const held = new Held(from > 0 ? this.heldAt(from - 1) : []);
    const ends = this.endsByStep();
    const spans: Span[] = [];
    let next = this.bandFrom(from);
    let seconds = next > 0 ? this.band(next - 1).seconds : 0;
    for (let first = from; first <= to; first += length) {
      const last = Math.min(to, first + length - 1);
      const [failure, behind] = this.failuresIn(first, last);
      const span: Span = { first, last, seconds: 0, used: -1, usedAt: first, longest: 0, failed: behind - failure };
      for (let step = first; step <= last; step++) {
        const ended = ends[step]!;
        if (ended > 0) held.remove(this.bands[(ended - 1) * COLUMNS_BAND]!);
        for (; next < this.bandCount && this.bands[next * COLUMNS_BAND + 2]! === step; next++) {
          const band = this.band(next);
          held.add(band);
          seconds = Math.max(seconds, band.seconds);
        }
        if (held.used > span.used) [span.used, span.usedAt] = [held.used, step];
      }
      for (let place = failure; place < behind; place++) seconds = Math.max(seconds, this.failed(place).seconds || 0);
      spans.push({ ...span, seconds, longest: held.longest(this.pages) });
    }
    return spans;
  }

  /** The longest free run between bands, lowest first. */
  longest(held: Pick<Band, "page" | "pages">[]): number {
    return new Held(held).longest(this.pages);
  }

  /** Of each step one more than the place of the band that it ended, or 0. */
  private endsByStep(): Uint32Array {
    if (!this.ends) {
      this.ends = new Uint32Array(this.steps);
      for (let place = 0; place < this.bandCount; place++) {
        const end = this.bands[place * COLUMNS_BAND + 3]!;
        if (end < this.steps) this.ends[end] = place + 1;
      }
    }
    return this.ends;
  }

  /** The place of the first band that began at a step or behind it. */
  private bandFrom(step: number): number {
    let [low, high] = [0, this.bandCount];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.bands[middle * COLUMNS_BAND + 2]! < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Calls back with the columns of every band that touches the steps: page, pages, begin, end, task. */
  each(from: number, to: number, call: (page: number, pages: number, begin: number, end: number, task: number) => void): void {
    const words = this.bands;
    for (let at = 0; at < words.length; at += COLUMNS_BAND) {
      const begin = words[at + 2]!;
      if (begin > to) break;
      const end = words[at + 3]!;
      if (end > from) call(words[at]!, words[at + 1]!, begin, end, words[at + 5]!);
    }
  }

  /** The bands held behind a step, lowest first. */
  heldAt(step: number): Band[] {
    const held: Band[] = [];
    const words = this.bands;
    for (let at = 0; at < words.length; at += COLUMNS_BAND) {
      if (words[at + 2]! > step) break;
      if (words[at + 3]! > step) held.push(this.band(at / COLUMNS_BAND));
    }
    return held.sort((one, other) => one.page - other.page);
  }

  /** The band of a page behind a step. */
  at(page: number, step: number): Band | undefined {
    const words = this.bands;
    for (let at = 0; at < words.length; at += COLUMNS_BAND) {
      if (words[at + 2]! > step) break;
      const first = words[at]!;
      if (words[at + 3]! > step && first <= page && page < first + words[at + 1]!) return this.band(at / COLUMNS_BAND);
    }
    return undefined;
  }

  failed(place: number): Failed {
    const at = place * COLUMNS_FAILURE;
    const word = (column: number) => this.failures[at + column]!;
    const known = word(2) !== OPEN || word(3) !== OPEN;
    return {
      place,
      step: word(0),
      line: word(1),
      seconds: known ? time(word(2), word(3)) : NaN,
      task: word(4),
      pages: word(5),
      align: 2 ** word(6),
      cause: CAUSES[word(7)] ?? "?",
      free: word(8),
      longest: word(9),
    };
  }

  /** The windows that are cheapest to empty, the cheapest first. */
  windows(place: number): Window[] {
    const found: Window[] = [];
    for (let window = 0; window < WINDOWS; window++) {
      const at = place * COLUMNS_FAILURE + 10 + 4 * window;
      const [page, used, cost, buffers] = this.failures.subarray(at, at + 4) as unknown as number[];
      if (cost! > 0) found.push({ page: page!, used: used!, cost: cost!, buffers: buffers! });
    }
    return found;
  }

  /** The failures of some steps, by place: the first at or after `from`, and the one behind the last. */
  failuresIn(from: number, to: number): [number, number] {
    const first = this.search(from);
    return [first, this.search(to + 1)];
  }

  private search(step: number): number {
    let [low, high] = [0, this.failureCount];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.failures[middle * COLUMNS_FAILURE]! < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What is said of a replay. */
export interface Said {
  error?: string;
  fatal?: boolean;
  diagnosis: string;
  says: { text: string }[];
  tasks: { text: string }[];
  steps: number;
  peak_step: number;
  /** Behind the highest page that was held. */
  highest_page: number;
  worst: number;
  record: ReplayRecord;
}

/** The answer to a replay as a course; an answer that is an error is thrown. */
export function courseOf(reply: Reply, pages: number): { course: Course; said: Said } {
  const said = JSON.parse(reply.text) as Said;
  if (said.error) throw new Error(said.error);
  const [lines, bands, failures] = reply.words;
  const tasks = said.tasks.map((task) => task.text);
  return { said, course: new Course(pages, said.steps, said.peak_step, said.worst, tasks, said.record, lines!, bands!, failures!) };
}
