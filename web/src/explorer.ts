// SPDX-License-Identifier: MIT OR Apache-2.0
// A recording that can be looked at and run again: controls, chart, map, moment, failures.
import { drawMap, drawMoment, MAP_HEIGHT, mapPlace, momentPage, type View } from "./canvas";
import { Chart } from "./chart";
import { type Engine, Stopped } from "./engine";
import { type Band, type Course, courseOf, type Embedded, OPEN, type Rules, type Said } from "./protocol";
import { Failures } from "./table";
import { counted, element, legend, seconds, size } from "./words";

const PAGEBLOCK = 1024;
/** Of 4 MiB, the largest area. */
const MOST_STEPS = 960;
const BLOCKERS = 12;
const PLAY_MS = 40;
/** An area in which nothing fails, unless the recording holds more than 1 GiB at once. */
const ROOMY = 1 << 18;

export class Explorer {
  private view: View | undefined;
  private playing: number | undefined;
  private readonly chart: Chart;
  private readonly failures: Failures;
  private readonly map = element("canvas", { tabindex: 0, role: "img", id: "map" });
  private readonly moment = element("canvas", { id: "moment", role: "img" });
  private readonly hover = element("p", { class: "hover", "aria-live": "polite" });
  private readonly momentWords = element("p", { class: "note", id: "moment-words", "aria-live": "polite" });
  private readonly blocked = element("div", { id: "blocked" });
  private readonly figures = element("p", { class: "note", id: "figures" });
  private readonly rounded = element("p", { class: "note", id: "rounded", "aria-live": "polite" });
  /** What the controls say of the run that is shown. */
  private settled: string[] = [];
  private readonly prints = element("p", { class: "note" });
  private readonly outcome = element("div", { class: "says", id: "outcome", "aria-live": "polite" });
  private readonly keys = element("p", {});
  private readonly slider: HTMLInputElement;
  private readonly number: HTMLInputElement;
  private readonly placement: HTMLSelectElement;
  private readonly align: HTMLSelectElement;
  private readonly failed: HTMLSelectElement;
  private readonly split: HTMLSelectElement;
  private readonly splitAt = element("input", { id: "split-at", type: "text", "aria-label": "where to split" });
  private readonly secondMib = element("input", { id: "second-mib", type: "number", min: 4, step: 4, max: 3840, "aria-label": "size of the second area in MiB" });
  private readonly which: HTMLSelectElement;
  private readonly splitControls = element("span", { class: "bar", hidden: true });
  private readonly splitWords = element("span", {});
  private readonly parts = element("div", { id: "parts" });
  private turns = 0;
  /** What a part of the recording needs where nothing fails, by its name. */
  private readonly needs = new Map<string, { peak: number; smallest: number }>();
  private readonly stopButton = element("button", { id: "stop-run", click: () => this.engine.stop(), disabled: true }, "Stop");
  private readonly playButton = element("button", { id: "play", click: () => this.togglePlay() }, "Play");

  constructor(
    place: HTMLElement,
    private readonly engine: Engine,
    private readonly data: Embedded,
    rules: Rules,
    /** The page says the same without scripts. */
    private readonly isSaid: boolean,
  ) {
    const rerun = () => void this.run();
    const wholeSteps = (box: HTMLInputElement) => {
      const asked = box.value;
      const steps = Math.min(MOST_STEPS, Math.max(1, Math.ceil(Number(asked) / 4) || 1));
      box.value = String(steps * 4);
      this.rounded.textContent = Number(asked) === steps * 4 ? "" : `${asked || "Nothing"} is taken as ${steps * 4} MiB: sizes are multiples of 4 MiB, up to ${MOST_STEPS * 4}.`;
      return steps;
    };
    const most = Math.max(2 * data.smallest_pages, 2 * data.pages, 8 * PAGEBLOCK);
    this.slider = element("input", { id: "size", type: "range", min: 1, max: Math.ceil(most / PAGEBLOCK), step: 1, value: data.pages / PAGEBLOCK, "aria-label": "size in steps of 4 MiB" });
    this.number = element("input", { id: "mib", type: "number", min: 4, step: 4, max: 3840, value: data.pages / 256, "aria-label": "size in MiB" });
    this.slider.addEventListener("input", () => {
      this.number.value = String(Number(this.slider.value) * 4);
      this.rounded.textContent = "";
      rerun();
    });
    this.number.addEventListener("change", () => {
      const steps = wholeSteps(this.number);
      this.slider.max = String(Math.max(Math.ceil(most / PAGEBLOCK), steps));
      this.slider.value = String(steps);
      rerun();
    });
    const choice = (id: string, options: [string, string][], chosen: string) => {
      const select = element("select", { id, change: rerun });
      select.append(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
      return select;
    };
    const placements = new Set([...rules.placements.map(({ name }) => name), data.placement]);
    this.placement = choice("placement", [...placements].map((name) => [name, name]), data.placement);
    this.align = choice("align", rules.alignments.map(({ name, words }) => [name, words]), data.align);
    this.failed = choice("failed", [["release", "go back at once"], ["keep", "live as long as others of their task"]], data.failed);
    const colours = choice("colours", [["size", "size"], ["task", "task"]], "size");
    colours.removeEventListener("change", rerun);
    this.split = choice("split", [["", "no"], ["size", "by size"], ["task", "by task"]], "");
    this.which = choice("which", [["0", "first"], ["1", "second"]], "0");
    this.split.removeEventListener("change", rerun);
    this.split.addEventListener("change", () => this.splitChanged());
    this.splitAt.addEventListener("change", () => {
      this.secondMib.value = "";
      rerun();
    });
    this.secondMib.addEventListener("change", () => {
      wholeSteps(this.secondMib);
      rerun();
    });
    const label = (text: string, control: HTMLElement) => element("label", {}, text, control);
    const reset = element("button", { click: () => this.reset() }, "As it was");
    const controls = element(
      "fieldset",
      { class: "controls" },
      element("legend", {}, "What if"),
      element("label", {}, "area", this.slider, this.number, "MiB"),
      label("placement", this.placement),
      label("alignment", this.align),
      data.failed_recorded > 0 ? label("requests that failed on the board", this.failed) : null,
      label("over two areas", this.split),
      this.splitControls,
      this.stopButton,
      reset,
    );
    this.splitControls.append(this.splitWords, this.splitAt, label("second area", this.secondMib), "MiB", label("shown", this.which));
    const chartPlace = element("div", { id: "chart", role: "group", "aria-label": "pages used, longest free run and failures over the steps; the map below says them with the keyboard" });
    const button = (text: string, title: string, call: () => void) => element("button", { click: call, title, "aria-label": title }, text);
    const bar = element(
      "div",
      { class: "bar" },
      button("◀ failure", "previous failure (P)", () => this.nextFailure(-1)),
      button("◀ step", "one step back (←)", () => this.move(-1)),
      this.playButton,
      button("step ▶", "one step on (→)", () => this.move(1)),
      button("failure ▶", "next failure (N)", () => this.nextFailure(1)),
      button("whole course", "show all steps (0)", () => this.zoom(0, Infinity)),
      label("colours by", colours),
    );
    colours.addEventListener("change", () => {
      if (!this.view) return;
      this.view.by = colours.value as View["by"];
      this.keys.replaceChildren(...legend(this.view.by, this.view.course.tasks));
      this.draw();
    });
    const failures = element("div", { id: "failures-live" });
    place.replaceChildren(
      element("h2", { class: "controls" }, "What if the area were another"),
      controls,
      this.rounded,
      this.outcome,
      this.parts,
      this.figures,
      element("details", { class: "controls" }, element("summary", {}, "Fingerprints"), this.prints),
      element("h2", {}, "The course"),
      chartPlace,
      element("p", { class: "note controls" }, "Drag to zoom, double-click for all. A point stands for some steps in a row, zoomed in for one. A dot is a request that fails. A click goes to the first failure of the point's steps, else to the step with the most pages in use; with the keyboard, the map below says what is in use at each step."),
      element("h2", {}, "The map: addresses over time"),
      bar,
      this.map,
      this.keys,
      element("p", { class: "note controls" }, "Click for a moment. Keys, with the map in focus: ← → step, N P next and previous failure, Home End, space plays, + - zoom at the line of the moment, 0 shows all."),
      this.hover,
      element("h2", {}, "One moment"),
      this.momentWords,
      this.moment,
      this.blocked,
      element("h2", {}, "Requests that fail"),
      failures,
    );
    this.chart = new Chart(chartPlace, (from, to) => this.zoom(from, to), (step) => this.go(step));
    this.failures = new Failures(failures, (failure) => this.choose(failure));
    this.listen();
  }

  /** Runs the recording as the controls say. */
  async run(): Promise<void> {
    const pages = Number(this.slider.value) * PAGEBLOCK;
    this.outcome.classList.add("stale");
    this.stopButton.disabled = false;
    const turn = ++this.turns;
    try {
      const part = this.parted();
      const shown = part ? Number(this.which.value) : 0;
      const areas = part ? [pages, Number(this.secondMib.value) * 256] : [pages];
      const answers = [];
      for (const [place, wanted] of areas.entries()) {
        const request = { do: "replay", placement: this.placement.value, align: this.align.value, failed: this.failed.value, from: this.data.from, ...part?.[place] };
        const need = part ? await this.need(request) : { peak: this.data.peak_pages, smallest: 0 };
        if (turn !== this.turns) return;
        const pages = wanted || need.smallest;
        if (place === 1) this.secondMib.value = String(pages / 256);
        const reply = await this.engine.ask({ ...request, pages, peak_pages: need.peak });
        if (turn !== this.turns) return;
        answers.push({ ...courseOf(reply, pages), ms: reply.ms, need });
      }
      this.parts.replaceChildren(...(part ? [...answers.map((answer, place) => this.partWords(place, answer)), this.bothWords(answers)] : []));
      const { course, said, ms } = answers[shown]!;
      this.show(course, said, ms);
      this.settled = this.controls().map((control) => control.value);
      this.outcome.classList.remove("stale");
      this.stopButton.disabled = true;
    } catch (error) {
      // A newer question took its place, or Stop was pressed.
      if (error instanceof Stopped) {
        if (!this.engine.busy) {
          this.stopButton.disabled = true;
          // What is shown is of the run before, and so are the controls.
          this.controls().forEach((control, place) => (control.value = this.settled[place] ?? control.value));
          this.splitControls.hidden = this.split.value === "";
          this.outcome.classList.remove("stale");
          this.figures.textContent = "Stopped; what is shown is of the run before, and the controls are as they were for it.";
        }
        return;
      }
      this.stopButton.disabled = true;
      this.parts.replaceChildren();
      this.figures.textContent = "What is shown below is of the run before.";
      this.outcome.replaceChildren(element("p", { class: "error" }, `${error instanceof Error ? error.message : error}`));
    }
  }

  private controls(): (HTMLInputElement | HTMLSelectElement)[] {
    return [this.slider, this.number, this.placement, this.align, this.failed, this.split, this.splitAt, this.secondMib, this.which];
  }

  /** The two parts of the requests, where they are split. */
  private parted(): [Record<string, string | number>, Record<string, string | number>] | undefined {
    const at = this.splitAt.value.trim();
    if (this.split.value === "size") {
      const least = Math.floor(Number(at));
      if (!(least > 0)) throw new Error("the second area gets requests of how many pages and more? A number, such as 64");
      return [{ most: least - 1 }, { least }];
    }
    if (this.split.value !== "task") return undefined;
    if (!at || at.startsWith("!")) throw new Error("the second area gets the requests of which tasks? A name, with * for any characters");
    return [{ task: `!${at}` }, { task: at }];
  }

  /** What a part needs, from a run in which nothing fails. */
  private async need(request: Record<string, string | number | null>): Promise<{ peak: number; smallest: number }> {
    const name = JSON.stringify(request);
    const known = this.needs.get(name);
    if (known) return known;
    const said = JSON.parse((await this.engine.ask({ ...request, pages: ROOMY })).text) as Said;
    if (said.error) throw new Error(said.error);
    const need = { peak: said.record.peak_pages, smallest: Math.max(1, Math.ceil(said.highest_page / PAGEBLOCK)) * PAGEBLOCK };
    this.needs.set(name, need);
    return need;
  }

  private partWords(place: number, { course, said, need }: { course: Course; said: Said; need: { smallest: number } }): HTMLElement {
    const name = place === 0 ? "First area" : "Second area";
    const { allocs, failed } = course.record;
    const enough = this.placement.value === "first-fit" ? `; under first-fit nothing fails in ${size(need.smallest)}` : "";
    return element("p", {}, element("b", {}, `${name}, ${size(course.pages)}`), `: ${said.diagnosis.toLowerCase()}, ${failed} of ${counted(allocs, "request")} fail${enough}.`);
  }

  /** What two areas take together, beside one for all. */
  private bothWords(answers: { course: Course; need: { smallest: number } }[]): HTMLElement {
    const sum = (of: (answer: { course: Course; need: { smallest: number } }) => number) => answers.reduce((sum, answer) => sum + of(answer), 0);
    const failed = sum(({ course }) => course.record.failed);
    const fails = failed === 0 ? "no request fails" : `${counted(failed, "request")} ${failed === 1 ? "fails" : "fail"}`;
    let words = `Together ${size(sum(({ course }) => course.pages))}: ${fails}.`;
    if (this.placement.value === "first-fit" && this.align.value === "asis") {
      const [two, one] = [sum(({ need }) => need.smallest), this.data.smallest_pages];
      const helps = two < one ? `The split helps: two areas need ${size(two)}, one for all ${size(one)}` : `The split does not help: two areas need ${size(two)}, and one for all ${size(one)}`;
      words += ` ${helps}, under first-fit so that nothing fails.`;
    }
    return element("p", { id: "both" }, words);
  }

  private splitChanged(): void {
    const by = this.split.value;
    this.splitControls.hidden = by === "";
    this.splitWords.textContent = by === "size" ? "requests of this many pages and more go to the second:" : "requests of these tasks go to the second:";
    this.splitAt.value = by === "size" ? "64" : (this.view?.course.tasks[1] ?? "");
    this.secondMib.value = "";
    void this.run();
  }

  private show(course: Course, said: Said, ms: number): void {
    const { record } = course;
    const says = this.isSaid && this.isAsItWas() ? element("span", {}, "as above.", element("span", { class: "controls" }, " Change something, and the recording runs again.")) : said.says.map((line) => line.text).join(" ");
    this.outcome.replaceChildren(element("p", {}, element("b", {}, said.diagnosis), ": ", says));
    this.figures.textContent =
      `This run: ${counted(record.ops, "operation")} (a release of a buffer whose request failed is no step; one that is given back because its ID is allocated again, as held=release has it, is: ${course.record.held_released}), ${counted(course.steps, "step")}, ${counted(record.allocs, "request")}, ${record.failed} failed (${record.failed_fragmented} with enough pages free but not in one piece, ${record.failed_full} with too few free), ` +
      `at most ${counted(record.peak_pages, "page")} in use; run in ${ms.toFixed(0)} ms`;
    this.prints.textContent = `Two runs with equal fingerprints placed every buffer at the same pages: placements ${record.placement_fnv1a}; the area at the end: bitmap ${record.bitmap_fnv1a}.`;
    this.figures.dataset["record"] = JSON.stringify(record);
    this.figures.dataset["ms"] = String(ms);
    const byTask = this.split.options[2]!;
    byTask.disabled = this.split.value === "" && course.tasks.length < 2;
    byTask.text = byTask.disabled ? "by task: the recording names none" : "by task";
    const worst = said.worst === OPEN ? undefined : said.worst;
    const before = this.view;
    const last = Math.max(0, course.steps - 1);
    const whole = !before || before.to > last || before.to === before.course.steps - 1;
    this.view = {
      course,
      from: whole ? 0 : before.from,
      to: whole ? last : before.to,
      cursor: worst === undefined ? course.peakStep : course.failed(worst).step,
      by: before?.by ?? "size",
      chosen: worst,
    };
    this.chart.show(course, this.view.from, this.view.to);
    this.failures.show(course, worst);
    this.keys.replaceChildren(...legend(this.view.by, course.tasks));
    this.draw();
  }

  private isAsItWas(): boolean {
    const { data } = this;
    const chosen = [this.split.value, Number(this.slider.value) * PAGEBLOCK, this.placement.value, this.align.value, this.failed.value];
    return chosen.join() === ["", data.pages, data.placement, data.align, data.failed].join();
  }

  private reset(): void {
    this.slider.value = String(this.data.pages / PAGEBLOCK);
    this.number.value = String(this.data.pages / 256);
    this.placement.value = this.data.placement;
    this.align.value = this.data.align;
    this.failed.value = this.data.failed;
    this.split.value = "";
    this.splitChanged();
  }

  private draw(): void {
    const view = this.view;
    if (!view) return;
    const { course, cursor, chosen } = view;
    drawMap(this.map, view);
    this.map.setAttribute("aria-label", `${course.bandCount} buffers over ${course.steps} steps; arrow keys step, N and P go to failures, space plays`);
    const held = course.heldAt(cursor);
    const at = chosen !== undefined && course.failed(chosen).step === cursor ? course.failed(chosen) : undefined;
    const windows = at ? course.windows(at.place) : [];
    drawMoment(this.moment, course.pages, held, view.by, windows, at?.pages);
    const used = held.reduce((sum, band) => sum + band.pages, 0);
    const free = course.longest(held);
    let words = `Step ${cursor} (line ${course.lines[cursor] ?? "–"}) of ${course.steps}: ${counted(held.length, "buffer")} with ${counted(used, "page")} of ${course.pages}, longest free run ${free}.`;
    if (at) {
      const task = course.tasks[at.task];
      words += ` Line ${at.line}: ${task ? `${task} asks` : "a request"} for ${counted(at.pages, "page")} at a multiple of ${at.align} fails (${at.cause}): ${at.free} free, longest run ${at.longest}`;
      words += at.cause === "fragmented" && at.longest >= at.pages ? `, but no run has room at a multiple of ${at.align}.` : ".";
    }
    this.momentWords.textContent = words;
    this.moment.setAttribute("aria-label", words);
    this.blocked.replaceChildren(...windows.map((window, place) => this.windowWords(held, window, at!.pages, place)));
  }

  /** A window, and whose buffers are in it. */
  private windowWords(held: Band[], window: { page: number; used: number; cost: number; buffers: number }, asked: number, place: number): HTMLElement {
    const end = window.page + asked;
    const inside = held.filter((band) => band.page < end && band.page + band.pages > window.page);
    const named = inside.slice(0, BLOCKERS).map((band) => this.named(band));
    const more = inside.length > BLOCKERS ? `, and ${inside.length - BLOCKERS} more` : "";
    const which = place === 0 ? "Cheapest window" : "Next";
    return element("p", { class: "note" }, element("b", {}, `${which}: pages ${window.page}–${end - 1}`), `, ${window.used} used; ${counted(window.cost, "page")} of ${counted(window.buffers, "buffer")} to empty: ${named.join(", ")}${more}`);
  }

  /** A buffer in words. */
  private named(band: Band): string {
    const task = this.view?.course.tasks[band.task];
    return `${counted(band.pages, "page")} at ${band.page}${task ? ` of ${task}` : ""} since line ${band.line}${band.seconds > 0 ? ` (${seconds(band.seconds)})` : ""}`;
  }

  private tell(page: number | undefined, step: number): void {
    const course = this.view?.course;
    if (!course || page === undefined) return;
    const band = course.at(page, step);
    const until = band && band.end !== OPEN ? ` until step ${band.end} (line ${course.lines[band.end]})` : " and stays";
    const at = `step ${step} (line ${course.lines[step]})`;
    this.hover.textContent = band ? `${at}, page ${page}: ${this.named(band)}${until}` : `${at}, page ${page}: free`;
  }

  private zoom(from: number, to: number): void {
    const view = this.view;
    if (!view) return;
    const last = Math.max(0, view.course.steps - 1);
    view.from = Math.min(last, Math.max(0, Math.floor(from)));
    view.to = Math.min(last, Math.max(view.from + 1, Math.ceil(Math.min(to, last))));
    this.chart.zoom(view.from, view.to);
    drawMap(this.map, view);
  }

  private move(steps: number): void {
    const view = this.view;
    if (!view) return;
    this.go(view.cursor + steps);
  }

  private go(step: number, chosen?: number): void {
    const view = this.view;
    if (!view) return;
    view.cursor = Math.min(view.course.steps - 1, Math.max(0, step));
    const [first, behind] = view.course.failuresIn(view.cursor, view.cursor);
    view.chosen = chosen ?? (first < behind ? first : undefined);
    if (view.cursor < view.from || view.cursor > view.to) {
      const span = view.to - view.from;
      this.zoom(Math.max(0, view.cursor - span / 2), view.cursor + span / 2);
    }
    this.failures.mark(view.chosen);
    this.draw();
  }

  private choose(failure: number): void {
    if (this.view) this.go(this.view.course.failed(failure).step, failure);
  }

  private nextFailure(sign: 1 | -1): void {
    const view = this.view;
    if (!view || view.course.failureCount === 0) return;
    const [first, behind] = view.course.failuresIn(view.cursor, view.cursor);
    const place = sign > 0 ? behind : first - 1;
    if (place >= 0 && place < view.course.failureCount) this.choose(place);
  }

  private togglePlay(): void {
    if (this.playing !== undefined) {
      clearInterval(this.playing);
      this.playing = undefined;
      this.playButton.textContent = "Play";
      return;
    }
    this.playButton.textContent = "Pause";
    if (this.view && this.view.cursor >= this.view.to) this.go(this.view.from);
    this.playing = window.setInterval(() => {
      const view = this.view;
      if (!view || view.cursor >= view.to) return this.togglePlay();
      // What is shown takes half a minute at most.
      this.go(view.cursor + Math.max(1, Math.round((view.to - view.from) / 750)));
    }, PLAY_MS);
  }

  private listen(): void {
    const point = (canvas: HTMLCanvasElement, event: MouseEvent) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top] as const;
    };
    this.map.addEventListener("mousemove", (event) => {
      if (!this.view) return;
      const [x, y] = point(this.map, event);
      if (y > MAP_HEIGHT) return;
      const place = mapPlace(this.map, this.view);
      this.tell(place.page(y), place.step(x));
    });
    this.map.addEventListener("click", (event) => {
      if (!this.view) return;
      this.go(mapPlace(this.map, this.view).step(point(this.map, event)[0]));
    });
    this.moment.addEventListener("mousemove", (event) => {
      if (!this.view) return;
      const [x, y] = point(this.moment, event);
      this.tell(momentPage(this.moment, this.view.course.pages, x, y), this.view.cursor);
    });
    const keys: Record<string, () => void> = {
      ArrowLeft: () => this.move(-1),
      ArrowRight: () => this.move(1),
      Home: () => this.go(0),
      End: () => this.go(Infinity),
      n: () => this.nextFailure(1),
      p: () => this.nextFailure(-1),
      " ": () => this.togglePlay(),
      "0": () => this.zoom(0, Infinity),
      "+": () => this.magnify(0.5),
      "-": () => this.magnify(2),
    };
    this.map.addEventListener("keydown", (event) => {
      const call = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!call || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      call();
      if (this.view) this.hover.textContent = this.momentWords.textContent;
    });
    new ResizeObserver(() => this.draw()).observe(this.map);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** Draws anew, as for other colours. */
  redraw(): void {
    if (this.view) this.chart.show(this.view.course, this.view.from, this.view.to);
    this.draw();
  }

  private magnify(factor: number): void {
    const view = this.view;
    if (!view) return;
    const half = ((view.to - view.from) * factor) / 2;
    this.zoom(view.cursor - half, view.cursor + half);
  }
}
