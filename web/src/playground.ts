// SPDX-License-Identifier: MIT OR Apache-2.0
// The monitor at a prompt, the areas beside it, and whatever file is dropped.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { drawMoment } from "./canvas";
import { Engine, Stopped, unpacked } from "./engine";
import { Explorer } from "./explorer";
import type { Embedded, Reply } from "./protocol";
import { themeButton } from "./theme";
import { counted, element, legend, size } from "./words";

const EXPERIMENT = "debris; bitmap";
const USUAL_AREAS = "BiscuitOS_cma=8M linux,cma=16M";
const PAGEBLOCK = 1024;
/** A line of a kernel's log. */
const LOG = /^(<\d+>)?\[ *\d+\.\d+\]/m;
const CTRL_C = "\x03";
const PROMPT = "debris> ";
/** Lines that a board that is switched on still remembers. */
const REMEMBERED = 100;
/** What takes longer is said to run. */
const LONG_MS = 200;
const BOOTED = "\n(the board was switched off and on: its areas start anew)\n";
/** Between two turns of what runs in the background. */
const IDLE_MS = 60;

interface Said {
  error: string;
  fatal?: boolean;
  said: string;
  areas: { text: string }[];
  busy: number;
  status?: number;
  reboot?: number;
  /** Areas that are larger than was asked for, in words. */
  rounded?: string;
}

interface Looked {
  error: string;
  recording: number;
  why: string;
  recorded_pages: number;
  state: number;
  story: string;
}

interface SizeRecord {
  error?: string;
  peak_pages: number;
  smallest_pages: number;
  largest_failing_pages: number;
  failed_recorded: number;
  failed: string;
}

function hex(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Playground {
  private readonly terminal = new Terminal({ convertEol: true, rows: 30, fontSize: 13, screenReaderMode: true, scrollback: 5000, theme: { background: "#111111" } });
  private readonly maps = element("div", { id: "maps" });
  private readonly below = element("div", { id: "below" });
  private readonly said = element("p", { class: "note", id: "said", "aria-live": "polite" });
  private readonly areas = element("input", { type: "text", id: "areas", value: USUAL_AREAS, style: "width: 22rem" });
  private readonly stopButton = element("button", { id: "stop", disabled: true, click: () => this.stop(), title: "switches the board off and on; Ctrl-C in the terminal ends the command alone" }, "Stop");
  private readonly state = element("span", { class: "note", id: "state", "aria-live": "polite" });
  /** Lines that were typed, the newest last. */
  private lines: string[] = [];
  private readonly machine: Engine;
  private readonly looker: Engine;
  private turn: Promise<void> = Promise.resolve();
  private file: Uint8Array | undefined;
  private idle: number | undefined;
  private boots = 0;
  private explorer: Explorer | undefined;
  /** The areas' names, and what is on the map. */
  private names: string[] = [];
  private map: Uint32Array | undefined;
  /** Keys that nobody has read. */
  private keys = "";
  private interrupting = false;

  constructor(place: HTMLElement, wasm: Uint8Array<ArrayBuffer>) {
    this.machine = new Engine(wasm);
    this.looker = new Engine(wasm);
    const picker = element("input", { type: "file", id: "file" });
    picker.addEventListener("change", () => {
      const file = picker.files?.[0];
      if (file) void this.take(file);
      // The same file can be chosen once more.
      picker.value = "";
    });
    const bar = element(
      "div",
      { class: "bar" },
      element("button", { id: "experiment", click: () => this.experiment() }, "Run the published experiment"),
      this.stopButton,
      this.state,
      element("label", {}, "areas", this.areas),
      element("button", { id: "boot", click: () => this.boot() }, "Boot"),
      element("label", {}, "file", picker),
      themeButton(() => {
        this.drawMaps();
        this.explorer?.redraw();
      }),
    );
    const screen = element("div", { id: "terminal" });
    place.append(bar, this.said, element("div", { class: "columns" }, element("div", { class: "screen" }, screen), this.maps), this.below);
    const fit = new FitAddon();
    this.terminal.loadAddon(fit);
    this.terminal.open(screen);
    new ResizeObserver(() => {
      const columns = fit.proposeDimensions()?.cols;
      if (columns) this.terminal.resize(Math.max(40, columns), 30);
      this.terminal.scrollToBottom();
    }).observe(screen);
    this.terminal.onData((keys) => this.typedByHand(keys));
    // The terminal leaves out what comes as text and not as keys.
    this.terminal.textarea?.addEventListener("input", (event) => {
      const text = ((event as InputEvent).data ?? "").replace(/[\x00-\x7f]+/g, "");
      if (text) this.typedByHand(text);
    });
    this.areas.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.boot();
    });
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("drop");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("drop");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("drop");
      const files = event.dataTransfer?.files;
      if (files?.[0]) void this.take(files[0], files.length > 1 ? ` ${files.length} files were dropped; this one is used.` : "");
    });
    new ResizeObserver(() => this.drawMaps()).observe(this.maps);
    this.boot();
    this.terminal.focus();
  }

  /** On the article's areas, empty; on others, or behind other requests, its figures would be others. */
  private experiment(): void {
    this.areas.value = USUAL_AREAS;
    this.remember(EXPERIMENT);
    this.boot(`${EXPERIMENT}\r`, "The published experiment, on its own area: the board was switched off and on before it.");
    this.terminal.focus();
  }

  /** Switches the board off, and on with its areas and the file; `note` is said when it is on. */
  private boot(then = "", note = ""): void {
    const first = this.boots++ === 0;
    clearTimeout(this.idle);
    this.machine.stop();
    if (this.file) this.machine.use(this.file);
    if (!first) this.terminal.write(BOOTED);
    const areas = this.areas.value.trim().split(/[\s]+/).join(" ");
    this.keys = "";
    this.interrupting = false;
    this.say("Booting …");
    this.queue(
      () => ({ do: "boot", areas, history: this.lines.join("\x1f") }),
      (said) => this.say([note, said.rounded ? `${said.rounded}.` : ""].join(" ").trim()),
    );
    this.type(`version\r${then}`);
  }

  private stop(): void {
    this.boot("", "Stopped: the board was switched off and on, and its areas are empty.");
  }

  /** Keys from the terminal. */
  private typedByHand(keys: string): void {
    const known = keys.replace(/[^\x00-\x7f]+/g, "");
    if (known !== keys) this.say(`The prompt takes ASCII alone: ${keys.replace(/[\x00-\x7f]+/g, "")} is left out.`, true);
    if (known === "\r") this.remember(this.line());
    this.type(known);
  }

  /** The line at the prompt, which may be on several rows. */
  private line(): string {
    const { active } = this.terminal.buffer;
    let row = active.baseY + active.cursorY;
    let text = active.getLine(row)?.translateToString(true) ?? "";
    while (row > 0 && active.getLine(row)?.isWrapped) text = (active.getLine(--row)?.translateToString(false) ?? "") + text;
    return text.startsWith(PROMPT) ? text.slice(PROMPT.length).trim() : "";
  }

  private remember(line: string): void {
    if (line && line !== this.lines.at(-1)) this.lines = [...this.lines, line].slice(-REMEMBERED);
  }

  /** Types keys. While a command runs they wait, and Ctrl-C takes those before it away with the command. */
  private type(keys: string): void {
    const end = keys.lastIndexOf(CTRL_C);
    if (end >= 0 && this.machine.busy) {
      this.keys = "";
      keys = keys.slice(end + 1);
      this.interrupting = true;
      this.machine.interrupt();
      if (!("Suspending" in WebAssembly)) this.say("This browser cannot suspend WebAssembly (JSPI), so a command that runs does not hear Ctrl-C: Stop switches the board off and on.", true);
    }
    this.keys += keys;
    this.queue(() => this.typed());
  }

  /** What there is to type. */
  private typed(): Record<string, string> | undefined {
    if (!this.keys) return undefined;
    const keys = hex(this.keys);
    this.keys = "";
    return { do: "type", keys };
  }

  /** Asks in turn; `then` hears an answer that is no error. */
  private queue(next: () => Record<string, string> | undefined, then?: (said: Said) => void): void {
    const boots = this.boots;
    this.turn = this.turn.then(async () => {
      const request = boots === this.boots ? next() : undefined;
      if (!request) return;
      clearTimeout(this.idle);
      this.stopButton.disabled = false;
      const long = window.setTimeout(() => (this.state.textContent = request["do"] === "boot" ? "booting …" : "running …"), LONG_MS);
      try {
        const reply = await this.machine.ask(request, (reply) => this.meanwhile(reply));
        // A Ctrl-C that no command heard is the prompt's.
        if (this.interrupting && !reply.interrupted) {
          this.keys = CTRL_C + this.keys;
          this.queue(() => this.typed());
        }
        this.interrupting = false;
        this.show(reply, then);
      } catch (error) {
        if (!(error instanceof Stopped)) this.say(String(error), true);
      }
      clearTimeout(long);
      this.state.textContent = "";
      if (boots === this.boots) this.stopButton.disabled = true;
    });
  }

  /** What a command that runs has said, and the areas as they are. */
  private meanwhile({ text, words }: Reply): void {
    this.terminal.write(text, () => this.terminal.scrollToBottom());
    if (words[0]!.length > 0) this.map = words[0];
    this.drawMaps();
  }

  private show(reply: Reply, then?: (said: Said) => void): void {
    const said = JSON.parse(reply.text) as Said;
    if (said.error) {
      this.say(said.error, true);
      // What would be typed at a board that is off is dropped.
      this.boots++;
      this.stopButton.disabled = true;
      if (said.fatal) {
        this.terminal.write("\n(the machine stopped; Boot switches it on again)\n");
        this.machine.stop();
      }
      return;
    }
    then?.(said);
    this.terminal.write(said.said, () => this.terminal.scrollToBottom());
    this.names = said.areas.map((area) => area.text);
    this.map = reply.words[0];
    this.drawMaps();
    if (said.reboot) this.boot();
    else if (said.status !== undefined) this.terminal.write(`\n(powered off with status ${said.status}; Boot switches it on again)\n`);
    else if (said.busy) {
      const boots = this.boots;
      this.idle = window.setTimeout(() => boots === this.boots && this.queue(() => ({ do: "type", keys: "" })), IDLE_MS);
    }
  }

  /** The areas as they are. */
  private drawMaps(): void {
    const { map, names } = this;
    if (!map) return;
    if (this.maps.childElementCount !== 2 * names.length + 1) {
      this.maps.replaceChildren(...names.flatMap(() => [element("p", { class: "note" }), element("canvas", { role: "img" })]), element("p", {}, ...legend("size", [])));
    }
    let at = 0;
    names.forEach((name, place) => {
      const [pages, used, longest, buffers] = map.subarray(at, at + 4) as unknown as [number, number, number, number];
      at += 4;
      const held = Array.from({ length: buffers }, (_, buffer) => ({ page: map[at + 2 * buffer]!, pages: map[at + 2 * buffer + 1]!, task: 0 }));
      at += 2 * buffers;
      const words = `${name}: ${size(pages)}, ${counted(buffers, "buffer")}, ${used} of ${pages} pages used, longest free run ${longest}`;
      const [text, canvas] = [this.maps.children[2 * place] as HTMLElement, this.maps.children[2 * place + 1] as HTMLCanvasElement];
      text.textContent = words;
      canvas.setAttribute("aria-label", words);
      drawMoment(canvas, pages, held, "size");
    });
  }

  /** A file: a recording is replayed, a state is loaded, a log is explained; `more` is said of it. */
  private async take(file: File, more = ""): Promise<void> {
    this.say(`Reading ${file.name} (${counted(file.size, "byte")}) …${more}`);
    this.below.replaceChildren();
    this.explorer = undefined;
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      this.looker.use(bytes);
      const looked = JSON.parse((await this.looker.ask({ do: "look" })).text) as Looked;
      if (looked.error) throw new Error(looked.error);
      if (looked.story) {
        this.below.append(element("h2", {}, `${file.name}: its lines on CMA, in words`), element("pre", { id: "story", style: "white-space: pre-wrap" }, looked.story));
      }
      if (looked.state) {
        this.file = bytes;
        this.areas.value = `board=${size(looked.state)}`;
        this.boot("load\rbitmap\r", `${file.name} is the state of an area of ${looked.state} pages; \`load\` put a board's area into it.${more}`);
      } else if (looked.recording) {
        await this.explore(file.name, bytes, looked, more);
      } else if (looked.story) {
        this.say(`${file.name} is a log; its lines on CMA stand below in words.${more}`);
      } else if (LOG.test(new TextDecoder().decode(bytes))) {
        this.say(`${file.name} is a log, and has no line about CMA: no request failed in it, or the kernel was built without CONFIG_CMA.${more}`, true);
      } else {
        this.say(`${file.name} is no recording, state or log that is known here: ${looked.why}${more}`, true);
      }
    } catch (error) {
      if (!(error instanceof Stopped)) this.say(`${file.name}: ${error instanceof Error ? error.message : error}`, true);
    }
  }

  /** A recording: at the prompt as the initrd, and below as a page. */
  private async explore(name: string, bytes: Uint8Array, looked: Looked, more: string): Promise<void> {
    this.say(`${name} is a recording. Looking for the smallest area in which no request of it fails …${more}`);
    const answer = JSON.parse((await this.looker.ask({ do: "size" })).text) as SizeRecord;
    if (answer.error) throw new Error(answer.error);
    const known = looked.recorded_pages || answer.largest_failing_pages || answer.smallest_pages;
    const pages = Math.ceil(known / PAGEBLOCK) * PAGEBLOCK;
    this.file = bytes;
    this.areas.value = `area=${pages / 256}M`;
    const failed = answer.failed_recorded > 0 ? ` ${counted(answer.failed_recorded, "request")} failed when it was recorded.` : "";
    // A request that failed there may succeed here, and then its driver asks again for an ID that
    // it holds.
    this.boot(
      "replay held=release failures=5\r",
      `${name}: no request fails in ${size(answer.smallest_pages)} (cma=${size(Math.ceil(answer.smallest_pages / PAGEBLOCK) * PAGEBLOCK)}); at most ${answer.peak_pages} pages are held at once.${failed} Shown in ${size(pages)}.${more}`,
    );
    const place = element("div", { id: "explorer" });
    this.below.append(element("p", { class: "note", id: "progress" }, "Running it under other placements and alignments …"), place);
    const { html, error } = JSON.parse((await this.looker.ask({ do: "page", name, pages, failed: answer.failed })).text) as { html: string; error: string };
    if (error) throw new Error(error);
    // What the tool's page says without scripts, every word of the recording in it escaped.
    const head = element("div", { id: "head" });
    head.innerHTML = html;
    head.querySelectorAll("#worst, #failures, noscript").forEach((part) => part.remove());
    document.getElementById("progress")?.remove();
    place.before(head);
    const data: Embedded = { name, from: null, pages, placement: "first-fit", align: "asis", failed: answer.failed, failed_recorded: answer.failed_recorded, peak_pages: answer.peak_pages, smallest_pages: answer.smallest_pages, sizes: [] };
    this.explorer = new Explorer(place, this.looker, data, await this.looker.rules(), true);
    const sizes = document.getElementById("sizes");
    if (sizes) place.after(sizes);
    await this.explorer.run();
  }

  private say(text: string, wrong = false): void {
    this.said.textContent = text;
    this.said.className = wrong ? "error" : "note";
  }
}

unpacked("wasm")
  .then((wasm) => new Playground(document.getElementById("app")!, wasm))
  .catch((error: unknown) => document.getElementById("app")!.append(element("p", { class: "error" }, `The page's script cannot go on: ${error}`)));
