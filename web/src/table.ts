// SPDX-License-Identifier: MIT OR Apache-2.0
// The failures, sortable; a long list is shown in part.
import type { Course, Failed } from "./protocol";
import { element, seconds } from "./words";

/** Rows that are listed at first, and that a button adds. */
const ROWS = 500;
/** Rows that are printed (page.css). */
const PRINTED = 40;

const COLUMNS: [string, (failed: Failed, course: Course) => string | number][] = [
  ["line", (failed) => failed.line],
  ["time", (failed) => failed.seconds],
  ["task", (failed, course) => course.tasks[failed.task] ?? ""],
  ["pages", (failed) => failed.pages],
  ["multiple of", (failed) => failed.align],
  ["cause", (failed) => failed.cause],
  ["free", (failed) => failed.free],
  ["longest run", (failed) => failed.longest],
];

export class Failures {
  private column = 0;
  private descends = false;
  private rows = new Map<number, HTMLTableRowElement>();
  private listed = ROWS;
  private course: Course | undefined;

  constructor(
    private readonly place: HTMLElement,
    private readonly choose: (failure: number) => void,
  ) {}

  show(course: Course, chosen: number | undefined): void {
    this.rows.clear();
    if (course !== this.course) this.listed = ROWS;
    this.course = course;
    const failures = Array.from({ length: course.failureCount }, (_, place) => course.failed(place));
    if (failures.length === 0) {
      this.place.replaceChildren(element("p", {}, "None."));
      return;
    }
    // A plain recording has neither times nor tasks.
    const shown = COLUMNS.map((_, place) => place).filter((place) => failures.some((failed) => ![NaN, ""].some((none) => Object.is(none, COLUMNS[place]![1](failed, course)))));
    if (!shown.includes(this.column)) this.column = 0;
    const value = COLUMNS[this.column]![1];
    const sign = this.descends ? -1 : 1;
    failures.sort((one, other) => {
      const [left, right] = [value(one, course), value(other, course)];
      const order = typeof left === "string" ? left.localeCompare(String(right)) : (left as number) - (right as number);
      return sign * (order || 0) || one.place - other.place;
    });
    const heads = shown.map((place, at) => {
      const [name] = COLUMNS[place]!;
      const sorted = place === this.column ? (this.descends ? "descending" : "ascending") : "none";
      const sort = () => {
        this.descends = place === this.column && !this.descends;
        this.column = place;
        this.show(course, chosen);
        (this.place.querySelectorAll("th button")[at] as HTMLElement).focus();
      };
      const mark = sorted === "none" ? "" : this.descends ? " ▼" : " ▲";
      return element("th", { scope: "col", "aria-sort": sorted }, element("button", { click: sort, title: `sort by ${name}` }, name + mark));
    });
    const rows = failures.slice(0, this.listed).map((failed) => {
      const cells = shown.map((place) => COLUMNS[place]!).map(([name, value]) => element("td", name === "task" || name === "cause" ? { class: "word" } : {}, name === "time" ? seconds(failed.seconds) : value(failed, course)));
      const row: HTMLTableRowElement = element("tr", {
        tabindex: -1,
        click: () => this.choose(failed.place),
        focus: () => this.stopAt(row),
        keydown: (event: KeyboardEvent) => {
          if (event.key === "Enter") this.choose(failed.place);
          const other = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
          if (other instanceof HTMLElement) {
            event.preventDefault();
            other.focus();
          }
        },
      });
      row.append(...cells);
      this.rows.set(failed.place, row);
      return row;
    });
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    this.place.replaceChildren(element("div", { class: "scroll" }, table));
    this.stopAt(rows[0]!);
    const left = failures.length - this.listed;
    const more = () => {
      this.listed += ROWS;
      this.show(course, chosen);
    };
    if (left > 0) this.place.append(element("p", { class: "note", id: "more" }, `${rows.length} of ${failures.length} are listed. `, element("button", { click: more }, `List ${Math.min(left, ROWS)} more`)));
    if (failures.length > PRINTED) this.place.append(element("p", { class: "note only-print" }, `${PRINTED} of ${failures.length} are printed.`));
    this.mark(chosen);
  }

  /** A table is one stop of the tab key; arrows go from row to row. */
  private stopAt(row: HTMLElement): void {
    for (const other of this.rows.values()) other.tabIndex = other === row ? 0 : -1;
  }

  mark(chosen: number | undefined): void {
    for (const [place, row] of this.rows) {
      row.classList.toggle("chosen", place === chosen);
      row.setAttribute("aria-selected", String(place === chosen));
    }
  }
}
